//! The presets and descriptions of one's own, shown.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use serde_json::Value;
use support::{run, run_with, write};
use tower_webhooks_core::{Provider, providers};

#[test]
fn the_table_has_a_line_for_each_preset() {
    let ran = run("providers");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let mut lines = ran.stdout.lines();
    assert!(lines.next().unwrap().starts_with("provider "));
    for provider in providers::all() {
        let line = lines.next().unwrap();
        assert!(line.starts_with(provider.name().as_str()), "{line}");
        let scheme = provider.scheme();
        let header = scheme.header().map(|name| name.as_str());
        let place = header.or_else(|| scheme.field());
        assert!(line.contains(place.unwrap()), "{line}");
        assert!(line.contains(&provider.scheme().describe()), "{line}");
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn the_markdown_table_is_followed_by_what_is_ours() {
    let ran = run("providers --markdown");
    assert_eq!(ran.code, 0);
    let (table, ours) = ran.stdout.split_once("\n\n").unwrap();
    assert_eq!(table.lines().count(), providers::all().len() + 2);
    for line in table.lines() {
        assert_eq!(line.matches(" | ").count(), 6, "{line}");
        assert!(line.starts_with("| ") && line.ends_with(" |"), "{line}");
    }
    for provider in providers::all() {
        for value in provider.assumptions() {
            assert!(ours.contains(value.as_str()), "{value}");
        }
    }
}

#[test]
fn json_is_the_whole_description() {
    let all: Vec<Provider> = serde_json::from_str(&run("providers --json").stdout).unwrap();
    assert_eq!(all, providers::all());
    let one: Value = serde_json::from_str(&run("providers m2m --json").stdout).unwrap();
    assert_eq!(one["name"], "m2m");
    assert_eq!(one["scheme"]["timestamp"]["tolerance_seconds"], 300);
    assert_eq!(
        one["retries"]["delays_seconds"],
        serde_json::json!([60, 300, 1800, 7200])
    );
}

#[test]
fn one_in_full_shows_all_that_is_known() {
    for provider in providers::all() {
        let ran = run(&format!("providers {}", provider.name()));
        assert_eq!(ran.code, 0);
        let page = ran.stdout;
        assert!(page.starts_with(&format!("{} ({})\n", provider.title(), provider.name())));
        assert!(page.contains(provider.source().unwrap().as_str()), "{page}");
        for text in provider.assumptions().iter().chain(provider.not_covered()) {
            assert!(page.contains(&format!("\n  - {text}\n")), "{page}");
        }
        for event in &provider.events().list {
            let sample = event.sample.as_deref().unwrap();
            assert!(
                page.contains(&format!("\n  {}\n    {sample}\n", event.name)),
                "{page}"
            );
        }
    }
}

#[test]
fn a_token_is_said_to_cover_nothing() {
    let page = run("providers cryptomate").stdout;
    for line in [
        "scheme       shared token, nothing is signed\n",
        "tolerance    no signed time\n",
        "event type   /product|/operation./event_type|/sub_operation./status, not signed\n",
        "event id     event-type:/operation_id, not signed\n",
        "replies      cards.authorization.pending within 1000 ms\n",
    ] {
        assert!(page.contains(line), "{page}");
    }
}

#[test]
fn a_printed_description_is_one_to_begin_with() {
    let folder = tempfile::tempdir().unwrap();
    for provider in providers::all() {
        let name = provider.name().as_str();
        for form in ["toml", "json"] {
            let printed = run_with(["providers", name, &format!("--{form}")], "").stdout;
            let file = write(folder.path(), &format!("{name}.{form}"), &printed);
            let read = run_with(["providers", &file, "--json"], "");
            let read: Provider = serde_json::from_str(&read.stdout).unwrap();
            assert_eq!(read, provider, "{form}");
        }
    }
}
