//! Amounts of money, exactly as a provider wrote them.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, cmp::Ordering, fmt, hash, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, Unexpected},
};
use serde_json::value::RawValue;

/// The most digits of an exponent. No currency needs more than two; a bound
/// keeps every sum of exponents far from overflow.
const MAX_EXPONENT_DIGITS: usize = 4;

/// A decimal number that never passes through floating point: every digit is
/// kept, as it was written.
///
/// In JSON it is a number or text, since providers differ and some documents
/// do not say which; it is written back in the form in which it came. Only
/// the grammar of JSON numbers is an amount, in text as well: `"007"`,
/// `"+5"`, `"1,000"` and `" 5"` are errors, since two readers could see two
/// amounts. Exponents (`1e-7`, which JavaScript writes for small numbers) are
/// taken, up to four digits.
///
/// Two amounts are equal when their values are: `1.50` equals `1.5`.
///
/// serde reads it from serde_json, and directly: behind `#[serde(flatten)]`
/// or in an untagged enum, where serde has turned numbers into floating point
/// already, it is an error.
///
/// ```
/// use tower_webhooks_core::Amount;
///
/// let amount: Amount = serde_json::from_str("12345678901234567890.120")?;
/// assert_eq!(amount.as_str(), "12345678901234567890.120");
/// assert!(amount > Amount::from(50));
///
/// let usdc: Amount = serde_json::from_str(r#""12.5""#)?;
/// assert_eq!(usdc.to_minor_units(6), Some(12_500_000));
/// assert_eq!(usdc.to_minor_units(0), None, "half a unit would be lost");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Amount {
    text: Box<str>,
    form: Form,
}

/// How an amount stands in JSON.
#[derive(Debug, Clone, Copy)]
enum Form {
    Number,
    Text,
}

impl Amount {
    /// The digits as they were written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The amount in units of `10^-decimals`: cents for 2, the smallest unit
    /// of USDC for 6, and for 0 an amount that is in its smallest unit
    /// already.
    ///
    /// Exact or nothing: `None` when digits would be lost or the result is
    /// beyond an `i128`.
    #[must_use]
    pub fn to_minor_units(&self, decimals: u32) -> Option<i128> {
        let value = self.value();
        let digits = i64::try_from(value.digits.len()).ok()?;
        let zeros = value
            .magnitude
            .checked_sub(digits)?
            .checked_add(decimals.into())?;
        if value.digits.is_empty() {
            return Some(0);
        }
        let zeros = usize::try_from(zeros).ok()?;
        let mut units = 0_i128;
        for digit in value.digits.iter().chain(std::iter::repeat_n(&b'0', zeros)) {
            let digit = i128::from(digit.checked_sub(b'0')?);
            units = units.checked_mul(10)?;
            units = if value.negative {
                units.checked_sub(digit)?
            } else {
                units.checked_add(digit)?
            };
        }
        Some(units)
    }

    fn new(text: &str, form: Form) -> Result<Self, AmountError> {
        Parts::parse(text).ok_or(AmountError(()))?;
        Ok(Self {
            text: text.into(),
            form,
        })
    }

    fn value(&self) -> Value {
        // The text was parsed when the amount was made.
        Parts::parse(&self.text).map_or_else(Value::default, |parts| parts.value())
    }
}

/// The text is not a decimal number in the grammar of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number")]
pub struct AmountError(());

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::new(text, Form::Text)
    }
}

impl From<u64> for Amount {
    fn from(whole: u64) -> Self {
        Self {
            text: whole.to_string().into(),
            form: Form::Number,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(from)?;
        let amount = if json.get().starts_with('"') {
            let text: Cow<'_, str> = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
            Self::new(&text, Form::Text)
        } else {
            Self::new(json.get(), Form::Number)
        };
        amount.map_err(|_| {
            D::Error::invalid_value(
                Unexpected::Other("another value"),
                &"a decimal amount, as a number or as text",
            )
        })
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.form {
            Form::Text => to.serialize_str(&self.text),
            Form::Number => serde_json::from_str::<&RawValue>(&self.text)
                .map_err(serde::ser::Error::custom)?
                .serialize(to),
        }
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

impl Eq for Amount {}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value().cmp(&other.value())
    }
}

impl hash::Hash for Amount {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.value().hash(state);
    }
}

/// The pieces of a number in the grammar of JSON.
struct Parts<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: i64,
}

impl<'t> Parts<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let unsigned = text.strip_prefix('-');
        let negative = unsigned.is_some();
        let (mantissa, exponent) = match unsigned.unwrap_or(text).split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned.unwrap_or(text), 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let canonical = is_digits(whole) && (whole == "0" || !whole.starts_with('0'));
        canonical.then_some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    fn value(&self) -> Value {
        let all = || self.whole.bytes().chain(self.fraction.bytes());
        let leading_zeros = all().take_while(|digit| *digit == b'0').count();
        let mut digits: Vec<u8> = all().skip(leading_zeros).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Value::default();
        }
        let length = |count| i64::try_from(count).unwrap_or(i64::MAX);
        Value {
            negative: self.negative,
            magnitude: self
                .exponent
                .saturating_add(length(self.whole.len()))
                .saturating_sub(length(leading_zeros)),
            digits,
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !is_digits(digits) || digits.len() > MAX_EXPONENT_DIGITS {
        return None;
    }
    text.parse().ok()
}

/// `0.<digits> * 10^magnitude`, without zeros at either end of the digits, so
/// that one value has one form. Zero has no digits and no sign.
#[derive(Default, PartialEq, Eq, Hash)]
struct Value {
    negative: bool,
    magnitude: i64,
    digits: Vec<u8>,
}

impl Value {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |value: &Self| match (value.digits.is_empty(), value.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let sizes = (self.magnitude, &self.digits).cmp(&(other.magnitude, &other.digits));
        sign(self).cmp(&sign(other)).then(if self.negative {
            sizes.reverse()
        } else {
            sizes
        })
    }
}
