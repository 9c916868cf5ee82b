//! Help, and what a user is told who gives the command something else.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use support::{SECRET, assert_one_line, finish, run, run_with, webhooks, write};

const COMMANDS: [&str; 8] = [
    "providers",
    "sign",
    "verify",
    "send",
    "conform",
    "sandbox",
    "register",
    "inbox",
];

#[test]
fn every_command_has_help_with_an_example() {
    for command in COMMANDS {
        let ran = run(&format!("{command} --help"));
        assert_eq!(ran.code, 0);
        assert!(
            ran.stdout.contains(&format!("  webhooks {command}")),
            "{}",
            ran.stdout
        );
        assert!(ran.stdout.contains("Example"), "{}", ran.stdout);
        assert!(ran.stdout.contains("--json"), "{}", ran.stdout);
        assert_eq!(ran.stderr, "");
    }
    let all = run("--help").stdout;
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{all}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let ran = run("--version");
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.stdout,
        concat!("webhooks ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn no_command_at_all_shows_help_and_is_wrong_use() {
    let ran = run("");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("Usage: webhooks"), "{ran:?}");
}

#[test]
fn wrong_use_is_explained_in_one_line() {
    for (arguments, words) in [
        ("sing", "unrecognized subcommand 'sing'"),
        ("sign --data x", "--provider <NAME|FILE>"),
        ("sign --provider mpcash --data x", "did you mean mppcash?"),
        (
            "sign --provider nobody-of-that-name --data x",
            "use one of adyen, ",
        ),
        ("sign --provider ./acme --data x", "ends in .toml or .json"),
        ("sign --provider none.toml --data x", "cannot be read"),
        (
            "sign --provider mppcash --body-file none.json",
            "none.json cannot be read",
        ),
        (
            "sign --provider mppcash --data x --body-file y",
            "cannot be used with",
        ),
        (
            "sign --provider mppcash --data x --now noon",
            "write it like 1772446530",
        ),
        (
            "sign --provider mppcash --data x --url nowhere",
            "--url is not a URL",
        ),
        (
            "sign --provider mppcash --data x --secret a --secret b",
            "sign with one",
        ),
        (
            "sign --provider mppcash --data x --secret-file none.txt",
            "none.txt cannot be read",
        ),
        (
            "verify --provider mppcash --data x --method a/b",
            "--method is not a method",
        ),
        (
            "verify --provider mppcash --data x --header @none",
            "none cannot be read",
        ),
        (
            "send --provider mppcash --url http://127.0.0.1:9/",
            "give --event (transfer.settled, ",
        ),
        (
            "send --provider mppcash --url /hook --event transfer.settled",
            "--url is not a URL",
        ),
        (
            "send --provider mppcash --url http://127.0.0.1:9/ --event transfer.setled",
            "did you mean transfer.settled?",
        ),
        (
            "send --provider mppcash --url http://127.0.0.1:9/ --event transfer.settled --data {}",
            "cannot be used with",
        ),
        (
            "send --provider mppcash --url http://127.0.0.1:9/ --event transfer.settled --count 0",
            "--count",
        ),
        (
            "send --provider mppcash --url http://127.0.0.1:9/ --event transfer.settled --timeout 0",
            "give seconds",
        ),
        (
            "send --provider mppcash --url http://127.0.0.1:9/ --data 7 --count 2 --timeout -1",
            "unexpected argument",
        ),
        ("providers --toml", "<NAME|FILE>"),
        ("providers mppcash --json --toml", "cannot be used with"),
        ("providers mppcash --markdown", "cannot be used with"),
        ("providers paypal", "no such preset"),
    ] {
        let ran = run(arguments);
        assert_one_line(&ran, 2, words);
        assert_eq!(ran.stdout, "", "{arguments}");
    }
}

#[test]
fn a_secret_comes_from_an_option_a_file_or_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "secret.txt", &format!("{SECRET}\n"));
    let sign = ["sign", "--provider", "mppcash", "--data", "{}"];
    let expected = run_with(sign, "").stdout;
    assert!(expected.contains("x-mppcash-signature: "));

    for (options, variables) in [
        (vec!["--secret", SECRET], vec![]),
        (vec!["--secret-file", file.as_str()], vec![]),
        (vec![], vec![("WEBHOOK_SECRET_FILE", file.as_str())]),
        // What is said on the command line counts more than what is set.
        (
            vec!["--secret", SECRET],
            vec![("WEBHOOK_SECRET", "another")],
        ),
        (
            vec!["--secret-file", &file],
            vec![("WEBHOOK_SECRET", "another")],
        ),
    ] {
        let mut command = webhooks();
        command.args(sign).args(&options).envs(variables);
        assert_eq!(finish(command, "").stdout, expected, "{options:?}");
    }
}

#[test]
fn a_secret_that_is_unfit_is_refused_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "secret.txt", "\n");
    let acme = write(
        folder.path(),
        "acme.toml",
        r#"
            name = "acme"
            [scheme]
            kind = "hmac"
            header = "x-acme"
            key = { encoding = "hex" }
            [envelope]
            event_type = "/type"
        "#,
    );
    for (arguments, words) in [
        (
            vec!["--provider", "mppcash", "--secret", ""],
            "the secret is empty",
        ),
        (
            vec!["--provider", "mppcash", "--secret", " "],
            "the secret is empty",
        ),
        (
            vec!["--provider", "mppcash", "--secret-file", &file],
            "the secret is empty",
        ),
        (
            vec!["--provider", &acme, "--secret", SECRET],
            "not in the form",
        ),
        (
            vec!["--provider", "mppcash"],
            "give --secret or --secret-file, or set WEBHOOK_SECRET",
        ),
    ] {
        for command in ["sign", "verify"] {
            let mut unfit = webhooks();
            unfit.arg(command).args(["--data", "{}"]).args(&arguments);
            assert_one_line(&finish(unfit, ""), 2, words);
        }
    }
    let mut twice = webhooks();
    twice
        .args(["sign", "--provider", "mppcash", "--data", "{}"])
        .envs([
            ("WEBHOOK_SECRET", SECRET),
            ("WEBHOOK_SECRET_FILE", file.as_str()),
        ]);
    assert_one_line(&finish(twice, ""), 2, "set both directly and as a file");
}

#[test]
fn a_secret_with_white_space_around_it_is_taken_with_a_warning() {
    let ran = run_with(
        [
            "sign",
            "--provider",
            "mppcash",
            "--data",
            "{}",
            "--secret",
            "a ",
        ],
        "",
    );
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.starts_with("warning: white space"), "{ran:?}");
    assert_eq!(ran.stderr.matches('\n').count(), 1);
}

#[test]
fn a_secret_may_begin_with_a_hyphen() {
    let ran = run_with(
        [
            "sign",
            "--provider",
            "mppcash",
            "--data",
            "{}",
            "--secret",
            "-x",
        ],
        "",
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn a_token_in_a_header_that_is_malformed_is_not_shown() {
    for header in [
        format!("x-webhook-key {SECRET}"),
        format!("x webhook: {SECRET}"),
    ] {
        let arguments = [
            "verify",
            "--provider",
            "cryptomate",
            "--data",
            "{}",
            "--header",
        ];
        let ran = run_with(arguments.into_iter().chain([header.as_str()]), "");
        assert_one_line(&ran, 2, "--header number 1");
    }
}

#[test]
fn a_reader_that_closes_the_pipe_early_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = webhooks()
        .args(["providers", "--json"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
