#![expect(clippy::arithmetic_side_effects, reason = "numbers made up for a test")]

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

#[test]
fn every_digit_survives_json_in_both_forms() {
    for number in [
        "0.1",
        "0.10",
        "12345678901234567890.123456789",
        "340282366920938463463374607431768211456000.000000000000000001",
        "1000000",
        "-5.00",
        "1e3",
        "1e-7",
        "1.5E+2",
        "0",
        "-0",
    ] {
        for json in [number.to_owned(), format!("\"{number}\"")] {
            let from_str: Amount = serde_json::from_str(&json).unwrap();
            let from_slice: Amount = serde_json::from_slice(json.as_bytes()).unwrap();
            assert_eq!(from_str.as_str(), number);
            assert_eq!(from_slice.as_str(), number);
            assert_eq!(serde_json::to_string(&from_str).unwrap(), json);
        }
    }
}

#[test]
fn escapes_in_text_are_undone() {
    let amount: Amount = serde_json::from_str(r#""\u0031\u002e5""#).unwrap();
    assert_eq!(amount.as_str(), "1.5");
}

#[test]
fn what_has_two_readings_is_no_amount() {
    for text in [
        "", " ", "-", "+5", " 5", "5 ", "007", "00", "-01", "1,000", "1_000", "0x10", ".5", "5.",
        "1.2.3", "1e", "1e+", "e3", "1e99999", "1e3.5", "NaN", "Infinity", "--1", "٣",
    ] {
        assert!(text.parse::<Amount>().is_err(), "{text:?}");
        let json = serde_json::to_string(text).unwrap();
        assert!(serde_json::from_str::<Amount>(&json).is_err(), "{text:?}");
    }
    for json in [
        "null", "true", "[]", "{}", "[1]", "007", "1e99999", "+5", "5.",
    ] {
        assert!(serde_json::from_str::<Amount>(json).is_err(), "{json}");
    }
}

#[test]
fn an_error_tells_what_was_expected_and_no_value() {
    let error = serde_json::from_str::<Amount>(r#""4711-secret""#).unwrap_err();
    assert!(error.to_string().contains("expected a decimal amount"));
    assert!(!error.to_string().contains("4711"));
}

#[test]
fn behind_flatten_it_is_an_error_and_not_a_loss() {
    #[derive(Debug, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        _inner: Inner,
    }
    #[derive(Debug, Deserialize)]
    struct Inner {
        _amount: Amount,
    }
    assert!(serde_json::from_str::<Outer>(r#"{"_amount":0.1}"#).is_err());
}

#[test]
fn minor_units_are_exact_or_nothing() {
    for (text, decimals, units) in [
        ("12.5", 6, Some(12_500_000)),
        ("0.1", 1, Some(1)),
        ("0.1", 0, None),
        ("1.50", 1, Some(15)),
        ("-0.01", 2, Some(-1)),
        ("1e3", 0, Some(1_000)),
        ("1e-7", 7, Some(1)),
        ("1e-7", 6, None),
        ("0.000", 0, Some(0)),
        ("0e9999", 0, Some(0)),
        ("1e9999", 0, None),
        ("1", u32::MAX, None),
        (
            "170141183460469231731687303715884105727",
            0,
            Some(i128::MAX),
        ),
        ("170141183460469231731687303715884105728", 0, None),
        (
            "-170141183460469231731687303715884105728",
            0,
            Some(i128::MIN),
        ),
    ] {
        assert_eq!(amount(text).to_minor_units(decimals), units, "{text}");
    }
}

#[test]
fn one_value_is_one_amount_however_written() {
    let number: Amount = serde_json::from_str("1.50").unwrap();
    let spellings = [amount("1.5"), amount("1.500"), amount("15e-1"), number];
    assert_eq!(spellings.iter().collect::<HashSet<_>>().len(), 1);
    assert_eq!(amount("-0"), amount("0.00"));
    assert_ne!(amount("1.5"), amount("15"));
    assert_ne!(amount("1.5"), amount("-1.5"));
    assert_eq!(Amount::from(50), amount("50"));
}

proptest! {
    #[test]
    fn order_and_units_agree_with_whole_numbers(left: i64, right: i64, decimals in 0_u32..9) {
        let write = |units: i64| {
            let sign = if units < 0 { "-" } else { "" };
            let digits = units.unsigned_abs().to_string();
            let width = decimals as usize + 1;
            let digits = format!("{digits:0>width$}");
            let (whole, fraction) = digits.split_at(digits.len() - decimals as usize);
            if fraction.is_empty() {
                format!("{sign}{whole}")
            } else {
                format!("{sign}{whole}.{fraction}")
            }
        };
        let (a, b) = (amount(&write(left)), amount(&write(right)));
        prop_assert_eq!(a.to_minor_units(decimals), Some(left.into()));
        prop_assert_eq!(a.cmp(&b), left.cmp(&right));
        prop_assert_eq!(a == b, left == right);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-+0-9.eE]{0,40}|\\PC*") {
        if let Ok(amount) = text.parse::<Amount>() {
            let _ = amount.to_minor_units(18);
            prop_assert_eq!(&amount, &amount.clone());
            prop_assert_eq!(amount.as_str(), text);
        }
    }
}
