//! `webhooks inbox`: looking, counting, pruning, erasing and migrating, beside
//! a receiver that has the inbox open.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use bytes::Bytes;
use serde_json::json;
use support::{
    Ran, assert_one_line, finish,
    inbox::{Receiver, Schema, Store, event, on_both_stores},
    run, webhooks,
};
use tower_webhooks_inbox::Batch;
use tower_webhooks_sqlite::rusqlite::Connection;

const COMMANDS: [&str; 9] = [
    "list", "show", "dead", "replay", "stats", "prune", "erase", "retire", "migrate",
];

on_both_stores! {
    a_list_is_filtered_and_cut_into_pages
    a_list_in_text_has_a_line_for_each_event_whatever_it_is_named
    an_event_is_shown_whole_and_its_body_on_request
    a_body_that_is_no_text_is_shown_in_hexadecimal
    dead_lists_only_the_jobs_that_are
    stats_count_and_fail_if_a_condition_holds
    jobs_that_no_worker_asks_for_are_orphaned
    pruning_takes_steps_until_nothing_old_is_left
    erasing_wants_a_yes_and_keeps_the_key
    retiring_wants_a_yes_and_a_handler_that_nobody_asks_for
}

#[test]
fn every_command_has_help_with_an_example() {
    let all = run("inbox --help").stdout;
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{all}");
        let ran = run(&format!("inbox {command} --help"));
        assert_eq!(ran.code, 0);
        let example = format!("  webhooks inbox {command}");
        assert!(ran.stdout.contains(&example), "{}", ran.stdout);
        for option in ["--json", "--inbox <FILE|URL>"] {
            assert!(ran.stdout.contains(option), "{}", ran.stdout);
        }
    }
}

#[test]
fn an_inbox_that_is_none_is_refused_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for (inbox, words) in [
        ("mysql://me:pa55@db/hooks", "no inbox is kept at mysql://"),
        (
            "postgres://me:pa55@db/hooks?sslmode=perhaps",
            "the PostgreSQL URL cannot be used",
        ),
        ("memory", "its own process"),
        ("none.db", "there is no inbox at none.db"),
    ] {
        for command in ["list", "stats", "show 1", "replay --all"] {
            let mut command_line = webhooks();
            command_line
                .current_dir(folder.path())
                .arg("inbox")
                .args(command.split(' '))
                .args(["--inbox", inbox]);
            let ran = finish(command_line, "");
            assert_one_line(&ran, 2, words);
            assert!(!ran.stderr.contains("pa55"), "{ran:?}");
        }
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn wrong_use_is_explained_in_one_line() {
    for (arguments, words) in [
        ("list --state lost", "invalid value 'lost'"),
        ("list --type a*", "at the end after a dot"),
        ("list --since soon", "write it like 2h"),
        ("prune --body-age 30", "write it like 90d"),
        ("stats --fail-if deed>0", "did you mean dead?"),
        ("stats --fail-if dead", "write it like 'dead>0'"),
        ("erase --tenant acme", "--endpoint <NAME>"),
        ("erase --event 1 --tenant acme", "cannot be used with"),
        ("erase", "--event <SEQ>"),
        ("retire --handler ship", "--endpoint <NAME>"),
        ("replay --all --provider mppcsh", "did you mean mppcash?"),
        ("show", "<SEQ>"),
    ] {
        let ran = run(&format!("inbox {arguments}"));
        assert_one_line(&ran, 2, words);
    }
}

async fn a_list_is_filtered_and_cut_into_pages(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    let mut other = event("evt_2", "{}");
    other.tenant = Some("acme".into());
    other.event_type = Some("refund.made".into());
    receiver.insert(other).await;
    receiver.insert(event("evt_1", "{\"order\":2}")).await;

    let chosen = |arguments: &str| {
        let listing = receiver.json(&format!("list {arguments}"));
        let events = listing["events"].as_array().unwrap().clone();
        let seqs = events.iter().map(|event| event["seq"].as_u64().unwrap());
        (seqs.collect::<Vec<_>>(), listing["next"].as_u64())
    };
    for (arguments, expected) in [
        ("", vec![1, 2, 3]),
        ("--event 2", vec![2]),
        ("--endpoint shop", vec![1, 2, 3]),
        ("--endpoint other", vec![]),
        ("--tenant acme", vec![2]),
        ("--id evt_1", vec![1, 3]),
        ("--type order.*", vec![1, 3]),
        ("--type refund.made", vec![2]),
        ("--state conflict", vec![3]),
        ("--state dead", vec![1]),
        ("--state pending", vec![2]),
        ("--handler ship", vec![1, 2]),
        ("--handler mail --state dead", vec![]),
        ("--since 2026-03-02T10:15:30Z", vec![1, 2, 3]),
        ("--until 2026-03-02T10:15:30Z", vec![]),
        ("--since 1s", vec![]),
        ("--suppressed", vec![]),
    ] {
        assert_eq!(chosen(arguments), (expected, None), "{arguments}");
    }
    assert_eq!(chosen("--limit 2"), (vec![1, 2], Some(2)));
    assert_eq!(chosen("--limit 2 --after 2"), (vec![3], None));
    let text = receiver.text("list --limit 1");
    assert!(text.ends_with("\nmore: --after 1\n"), "{text}");
}

async fn a_list_in_text_has_a_line_for_each_event_whatever_it_is_named(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    receiver.insert(event("evt\u{1b}[2J\n9", "{}")).await;
    let text = receiver.text("list");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("event  received "), "{text}");
    assert!(
        lines[1].starts_with("1      2026-03-02T10:15:30Z  shop "),
        "{text}"
    );
    assert!(lines[1].ends_with("mail: done, ship: dead"), "{text}");
    assert!(lines[2].contains(r"evt\u{1b}[2J\n9"), "{text}");
}

async fn an_event_is_shown_whole_and_its_body_on_request(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    let mut steered = event("evt_2", "{\n\"a\": \"\u{1b}[2J\"}");
    let header = (
        "content-type".into(),
        Bytes::from_static(b"application/json"),
    );
    steered.headers = [header].into();
    receiver.insert(steered).await;

    let text = receiver.text("show 1");
    for line in [
        "event: 1",
        "state: routed",
        "endpoint: shop",
        "type: order.paid",
        "id: evt_1",
        "received: 2026-03-02T10:15:30Z",
        "body: 11 bytes",
        r"ship: no stock: \u{1b}[31mred",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}: {text}");
    }
    assert!(!text.contains("order\""), "no body: {text}");
    let text = receiver.text("show 2 --body");
    assert!(
        text.contains("header content-type: application/json\n"),
        "{text}"
    );
    assert!(text.ends_with("\n\n{\n\"a\": \"\\u{1b}[2J\"}\n"), "{text}");

    let shown = receiver.json("show 1");
    assert_eq!(shown["body_kept"], true);
    assert_eq!(shown.get("body"), None);
    assert_eq!(shown["jobs"][1]["last_error"], "no stock: \u{1b}[31mred");
    assert_eq!(receiver.json("show 1 --body")["body"], "{\"order\":1}");
    assert_one_line(&receiver.run("show 9"), 1, "there is no event 9");
}

async fn a_body_that_is_no_text_is_shown_in_hexadecimal(store: Store) {
    let receiver = Receiver::open(store).await;
    let mut binary = event("evt_1", "");
    binary.body = Bytes::from_static(&[0xff, 0x00, 0x1b]);
    receiver.insert(binary).await;
    let shown = receiver.json("show 1 --body");
    assert_eq!(shown["body_hex"], "ff001b");
    assert_eq!(shown.get("body"), None);
    assert!(receiver.text("show 1 --body").ends_with("\n\nff001b\n"));
}

async fn dead_lists_only_the_jobs_that_are(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    let listing = receiver.json("dead");
    let [dead] = listing["dead"].as_array().unwrap().as_slice() else {
        panic!("{listing}");
    };
    assert_eq!(dead["seq"], 1);
    assert_eq!(dead["handler"], "ship");
    assert_eq!(dead["attempts"], 1);
    assert_eq!(dead["last_error"], "no stock: \u{1b}[31mred");
    let text = receiver.text("dead --handler ship");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains(r"no stock: \u{1b}[31mred"), "{text}");
    assert_eq!(receiver.json("dead --handler mail")["dead"], json!([]));
}

async fn stats_count_and_fail_if_a_condition_holds(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    let stats = receiver.json("stats");
    for (name, count) in [("routed", 1), ("dead", 1), ("done", 1), ("pending", 0)] {
        assert_eq!(stats[name], count, "{name}");
    }
    assert_eq!(stats["held_bytes"], 11);
    assert_eq!(stats["handlers"][1]["handler"], "ship");
    assert_eq!(stats["handlers"][1]["dead"], 1);
    let text = receiver.text("stats --fail-if dead>1 --fail-if done=0");
    assert!(text.contains("\ndead: 1\n"), "{text}");
    // Every count is printed by the name that a condition uses.
    let names = text.lines().take_while(|line| !line.is_empty());
    for name in names.map(|line| line.split(':').next().unwrap()) {
        receiver.text(&format!("stats --fail-if {name}>99999"));
        let help = run("inbox stats --help").stdout;
        assert!(help.contains(&format!(" {name}")), "{name}: {help}");
    }

    let ran = receiver.run("stats --fail-if dead>0 --fail-if done>0 --fail-if pending>0");
    assert_one_line(&ran, 1, "dead>0: dead is 1; done>0: done is 1\n");
    assert!(ran.stdout.contains("\ndead: 1\n"), "{ran:?}");
}

async fn jobs_that_no_worker_asks_for_are_orphaned(store: Store) {
    let receiver = Receiver::open(store).await;
    receiver.register("shop", "mail").await;
    receiver.register("shop", "ship").await;
    receiver.insert(event("evt_1", "{}")).await;
    receiver.claim("shop", "mail").await;
    receiver.insert(event("evt_2", "{}")).await;
    // Mail was asked for just now, and ship never.
    let stats = receiver.json("stats");
    let handlers = &stats["handlers"];
    assert_eq!(
        (&stats["pending"], &stats["orphaned"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(handlers[0]["orphaned"], 0);
    assert_eq!(handlers[0]["pending"], 1);
    assert_eq!(handlers[1]["orphaned"], 2);
    let ran = receiver.run("stats --fail-if orphaned>0");
    assert_one_line(&ran, 1, "orphaned>0: orphaned is 2\n");
    assert!(ran.stdout.contains("\norphaned: 2\n"), "{ran:?}");

    for (seconds, orphaned) in [(30, 0), (61, 3)] {
        receiver.asked_seconds_ago(seconds).await;
        assert_eq!(receiver.json("stats")["orphaned"], orphaned, "{seconds} s");
    }
}

async fn pruning_takes_steps_until_nothing_old_is_left(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    let inserts = (0..450).map(|number| {
        let mut one = event(&format!("old_{number}"), "{}");
        one.endpoint = "other".into();
        one
    });
    let batch = Batch {
        inserts: inserts.collect(),
        ..Batch::default()
    };
    receiver.inbox.apply(batch).await.unwrap();

    assert_eq!(receiver.json("prune"), json!({"bodies": 0, "keys": 0}));
    let pruned = receiver.json("prune --body-age 0s");
    assert_eq!(pruned, json!({"bodies": 450, "keys": 0}));
    assert_eq!(receiver.json("show 2")["body_kept"], false);
    let text = receiver.text("show 2 --body");
    assert!(text.contains("body: pruned, 2 bytes once\n"), "{text}");
    assert_eq!(
        receiver.text("prune --body-age 0s --key-age 0s"),
        "dropped 0 bodies, and 450 events with their key\n"
    );
    // A dead job keeps its event, however old.
    assert_eq!(receiver.json("show 1")["body_kept"], true);
    assert_eq!(receiver.json("list")["events"].as_array().unwrap().len(), 1);
}

async fn erasing_wants_a_yes_and_keeps_the_key(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    for (id, tenant) in [("evt_2", "acme"), ("evt_3", "acme"), ("evt_4", "zeta")] {
        let mut one = event(id, "{}");
        one.tenant = Some(tenant.into());
        receiver.insert(one).await;
    }
    let ran = receiver.run("erase --event 1");
    assert_one_line(
        &ran,
        2,
        "this erases event 1 and cannot be undone: give --yes",
    );
    let ran = receiver.run("erase --endpoint shop --tenant acme");
    assert_one_line(&ran, 2, "everything of tenant acme of shop");
    assert_eq!(receiver.json("show 1")["erased"], false);
    assert_one_line(&receiver.run("erase --event 9 --yes"), 1, "no event 9");

    assert_eq!(receiver.text("erase --event 1 --yes"), "erased: 1\n");
    assert_eq!(receiver.text("erase --event 1 --yes"), "erased: 0\n");
    let shown = receiver.json("show 1 --body");
    assert_eq!(shown["erased"], true);
    assert_eq!(shown["body_kept"], false);
    assert_eq!(shown["id"], "evt_1");
    assert_eq!(shown["jobs"][1]["last_error"], json!(null));
    assert!(
        receiver
            .text("show 1")
            .contains("body: erased, 11 bytes once\n")
    );

    let erased = receiver.json("erase --endpoint shop --tenant acme --yes");
    assert_eq!(erased, json!({"erased": 2}));
    assert_eq!(receiver.json("show 4")["erased"], false);
}

async fn retiring_wants_a_yes_and_a_handler_that_nobody_asks_for(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    let inserts = (0..450).map(|number| event(&format!("more_{number}"), "{}"));
    let batch = Batch {
        inserts: inserts.collect(),
        ..Batch::default()
    };
    receiver.inbox.apply(batch).await.unwrap();
    let ship = "retire --endpoint shop --handler ship";
    assert_one_line(
        &receiver.run(ship),
        2,
        "this deletes the unfinished and dead jobs of handler ship of shop and cannot be undone: \
         give --yes",
    );
    let refused = receiver.run(&format!("{ship} --yes"));
    assert_one_line(&refused, 1, "a worker asked for handler ship of shop");
    assert_eq!(receiver.json("stats")["dead"], 1, "nothing was done");
    let nobody = receiver.run("retire --endpoint bank --handler ship --yes --force");
    assert_one_line(&nobody, 1, "there is no handler ship of bank");

    receiver.asked_seconds_ago(61).await;
    let retired = receiver.json(&format!("{ship} --yes"));
    assert_eq!(retired, json!({"jobs": 451, "unhandled": 0}), "in steps");
    let stats = receiver.json("stats");
    assert_eq!(
        (&stats["dead"], &stats["pending"]),
        (&json!(0), &json!(450))
    );
    assert_one_line(&receiver.run(&format!("{ship} --yes")), 1, "there is no");

    let mail = receiver.text("retire --endpoint shop --handler mail --yes --force");
    assert_eq!(
        mail,
        "retired: 450 jobs deleted, and 450 events left without any\n"
    );
    assert_eq!(receiver.json("show 2")["state"], "unhandled");
    assert_eq!(receiver.json("show 1")["state"], "routed", "mail was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_migration_makes_an_inbox() {
    let receiver = Receiver::open(Store::File).await;
    assert_eq!(receiver.text("migrate --print-sql"), "", "it is migrated");
    assert_eq!(receiver.text("migrate"), "schema 1: nothing to do\n");

    let path = receiver.file("new.db");
    let inbox = format!("--inbox {}", path.display());
    let sql = receiver.text(&format!("migrate --print-sql {inbox}"));
    assert!(!path.exists(), "printing makes no file");
    assert_eq!(
        receiver.json(&format!("migrate --print-sql {inbox}"))["sql"],
        sql.as_str()
    );
    let by_hand = Connection::open(&path).unwrap();
    let ran = receiver.run(&format!("list {inbox}"));
    assert_one_line(&ran, 1, "migrate it first");
    by_hand.execute_batch(&sql).unwrap();
    assert_eq!(
        receiver.json(&format!("list {inbox}")),
        json!({"events": [], "next": null})
    );

    let other = format!("--inbox {}", receiver.file("other.db").display());
    let migrated = receiver.json(&format!("migrate {other}"));
    assert_eq!(migrated, json!({"from": 0, "to": 1}));
    assert_eq!(receiver.json(&format!("stats {other}"))["routed"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_programs_database_is_left_alone() {
    let receiver = Receiver::open(Store::File).await;
    let path = receiver.file("theirs.db");
    let theirs = Connection::open(&path).unwrap();
    theirs.execute_batch("CREATE TABLE mine (a)").unwrap();
    for command in ["migrate --print-sql", "migrate", "list"] {
        let ran = receiver.run(&format!("{command} --inbox {}", path.display()));
        assert_one_line(&ran, 1, "is another program's database");
        assert_eq!(ran.stdout, "");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn the_printed_migration_makes_an_inbox_in_postgres() {
    let (by_hand, by_command) = (Schema::new(), Schema::new());
    let ran = inbox(&by_hand.url(), "list");
    assert_one_line(
        &ran,
        1,
        "has version 0 and this release needs 1 to 1; migrate it first",
    );
    let printed = inbox(&by_hand.url(), "migrate --print-sql");
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    let shell = by_hand.shell().await;
    let made = "SELECT count(*) FROM pg_namespace WHERE nspname = $1";
    let made = shell.query_one(made, &[&by_hand.name()]).await.unwrap();
    assert_eq!(made.get::<_, i64>(0), 0, "printing makes nothing");
    shell.batch_execute(&printed.stdout).await.unwrap();
    assert_eq!(
        inbox(&by_command.url(), "migrate").stdout,
        "schema 1, from 0\n"
    );
    for schema in [by_hand, by_command] {
        assert_eq!(inbox(&schema.url(), "migrate --print-sql").stdout, "");
        let ran = inbox(&schema.url(), "migrate");
        assert_eq!(ran.stdout, "schema 1: nothing to do\n");
        let ran = inbox(&schema.url(), "list --json");
        assert_eq!(ran.stdout, "{\"events\":[],\"next\":null}\n");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn another_programs_tables_in_postgres_are_left_alone() {
    let theirs = Schema::new();
    let shell = theirs.shell().await;
    let made = format!(
        "CREATE SCHEMA {}; CREATE TABLE event (mine int)",
        theirs.name()
    );
    shell.batch_execute(&made).await.unwrap();
    let ran = inbox(&theirs.url(), "migrate");
    assert_one_line(&ran, 1, "has another program's tables");
    let ran = inbox(&theirs.url(), "list");
    assert_one_line(&ran, 1, "migrate it first");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = $1";
    let tables = shell.query_one(tables, &[&theirs.name()]).await.unwrap();
    assert_eq!(tables.get::<_, i64>(0), 1);
}

#[test]
fn a_server_that_is_away_is_named_without_its_password() {
    // Nobody listens at the first port.
    for command in ["list", "stats --json", "migrate", "migrate --print-sql"] {
        let ran = inbox("postgres://me:pa55@127.0.0.1:1/hooks", command);
        assert_one_line(
            &ran,
            1,
            "`webhooks`: error connecting to server: Connection refused",
        );
        assert!(!ran.stderr.contains("pa55"), "{ran:?}");
    }
}

/// Runs `webhooks inbox` on that inbox.
fn inbox(place: &str, arguments: &str) -> Ran {
    let mut command = webhooks();
    command.env("INBOX", place).arg("inbox");
    command.args(arguments.split_whitespace());
    finish(command, "")
}
