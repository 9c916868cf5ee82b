use std::{collections::BTreeMap, io::Write, sync::Arc};

use serde::Serialize;
use tower_webhooks_core::{Opener, Provider};
use tower_webhooks_inbox::{EventSeq, Inbox, JobKey, Selection};

use super::{
    PAUSE,
    filter::{FilterArgs, State},
    readings::Reader,
    record::table,
};
use crate::{
    args::{PayloadSecretArgs, load_provider},
    failure::Failure,
};

/// Run jobs again, or for the first time
///
/// Of the events chosen, dead jobs run again and pending ones at once; what is done stays done, and
/// what runs is left alone. --handler and a --state of jobs limit the jobs too. Conflicts and
/// unhandled events get jobs of the handlers there are now; unusable ones too, once --provider can
/// read them. An event that later deliveries with an equal body were taken for runs again with
/// --suppressed --done.
///
/// Exits with 1 if nothing runs, and some event is why: its body is gone, or it cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webhooks inbox replay --handler ship --state dead --dry-run
  webhooks inbox replay --endpoint shop --state unusable --provider ./shop.toml
  webhooks inbox replay --event 12 --handler ship --done")]
pub(super) struct Args {
    /// Only say which handlers would run, and which are done
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Run jobs that are done again too
    #[arg(long)]
    done: bool,

    /// Give jobs to handlers that came after the events were routed
    #[arg(long)]
    backfill: bool,

    /// Read unusable events anew, as this provider's: a preset, or a description of your own; needs
    /// --event or --endpoint, since another endpoint's events would be misread
    #[arg(short, long, value_name = "NAME|FILE", value_parser = load_provider)]
    provider: Option<Arc<Provider>>,

    /// Where --provider's events name what handlers order jobs by, if the receiver was told so in
    /// its program: a JSON pointer
    #[arg(long, value_name = "POINTER", requires = "provider")]
    ordering_key: Option<String>,

    #[command(flatten)]
    payload_secrets: PayloadSecretArgs,

    #[command(flatten)]
    filter: FilterArgs,

    /// In this state; if it is one of jobs, only those jobs
    #[arg(long, help_heading = "Which events")]
    state: Option<State>,

    /// All events of the inbox
    #[arg(long, help_heading = "Which events")]
    all: bool,
}

pub(super) async fn run(
    args: Args,
    inbox: &dyn Inbox,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    if args.filter.is_empty() && args.state.is_none() && !args.all {
        return Err(Failure::usage("no events chosen: give a filter, or --all"));
    }
    let filter = args.filter.filter(args.state);
    if args.provider.is_some() && args.state.is_some_and(|state| state != State::Unusable) {
        return Err(Failure::usage(
            "--provider reads unusable events, and --state chooses others",
        ));
    }
    if args.provider.is_some() && filter.seq.is_none() && filter.endpoint.is_none() {
        return Err(Failure::usage(
            "--provider reads the events of one endpoint: give --endpoint or --event",
        ));
    }
    let mut reader = reader(args.provider, args.ordering_key, args.payload_secrets)?;
    let mut selection = Selection {
        filter,
        done: args.done,
        backfill: args.backfill,
        dry_run: args.dry_run,
        ..Selection::default()
    };
    let mut report = Report {
        dry_run: args.dry_run,
        ..Report::default()
    };
    loop {
        let next = report.page(inbox, &mut selection, reader.as_mut());
        selection.page.after = match next.await? {
            None => break,
            next => next,
        };
        tokio::time::sleep(PAUSE).await;
    }
    if json {
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        report.write(out)?;
    }
    report.ending()
}

/// Reads as this provider's, with the ordering key where it is given.
fn reader(
    provider: Option<Arc<Provider>>,
    ordering_key: Option<String>,
    payload_secrets: PayloadSecretArgs,
) -> Result<Option<Reader>, Failure> {
    let Some(mut provider) = provider else {
        return Ok(None);
    };
    if let Some(key) = ordering_key {
        provider = Arc::new(Arc::unwrap_or_clone(provider).with_ordering_key(key.as_str()));
        provider
            .check()
            .map_err(|error| Failure::usage(format!("--ordering-key: {error}")))?;
    }
    let encryption = provider.encryption();
    let opener = encryption.map(|encryption| {
        Opener::new(encryption, &payload_secrets.opening()?).map_err(Failure::usage)
    });
    let opener = opener.transpose()?;
    Ok(Some(Reader::new(provider, opener)))
}

/// What ran, or would.
#[derive(Default, Serialize)]
struct Report {
    dry_run: bool,
    runs: Vec<Job>,
    /// Left alone.
    done: Vec<Job>,
    /// Their body is pruned or erased.
    gone: Vec<u64>,
    /// They could be read, and have no handler, or the id of an event that is
    /// known: a conflict then.
    idle: Vec<u64>,
    /// They cannot be read; why, if it was tried.
    unread: BTreeMap<u64, Option<&'static str>>,
}

#[derive(Serialize)]
struct Job {
    seq: u64,
    handler: String,
}

impl Report {
    /// Replays one page, in one transaction. Says where the next one begins, if
    /// there is more.
    async fn page(
        &mut self,
        inbox: &dyn Inbox,
        selection: &mut Selection,
        mut reader: Option<&mut Reader>,
    ) -> Result<Option<EventSeq>, Failure> {
        let page = selection.page;
        if let Some(reader) = &mut reader {
            let readings = reader.read(inbox, &selection.filter, page).await;
            selection.readings = readings.map_err(|error| self.interrupted(&error))?;
        }
        let replayed = inbox.replay(selection).await;
        let replayed = replayed.map_err(|error| self.interrupted(&error))?;
        let on_page = |seq| replayed.next.is_none_or(|next| seq <= next);
        let idle = selection.readings.iter().map(|reading| reading.seq);
        self.idle.extend(
            idle.filter(|seq| on_page(*seq) && replayed.runs.iter().all(|job| job.seq != *seq))
                .map(|seq| seq.0),
        );
        self.runs.extend(replayed.runs.iter().map(Job::new));
        self.done.extend(replayed.done.iter().map(Job::new));
        self.gone.extend(replayed.gone.iter().map(|seq| seq.0));
        self.unread.extend(replayed.unread.iter().map(|seq| {
            let reason = reader.as_ref().and_then(|reader| reader.reason(*seq));
            (seq.0, reason)
        }));
        Ok(replayed.next)
    }

    fn write(&self, out: &mut impl Write) -> Result<(), Failure> {
        let said = |seq: u64, text: &str| [seq.to_string(), "-".to_owned(), text.to_owned()];
        let job = |job: &Job, text: &str| {
            let seq = job.seq.to_string();
            [seq, job.handler.clone(), text.to_owned()]
        };
        let (runs, verb) = if self.dry_run {
            ("would run", "would run")
        } else {
            ("runs", "run")
        };
        let mut rows: Vec<_> = Vec::new();
        rows.extend(self.runs.iter().map(|one| (one.seq, job(one, runs))));
        // What is done may be all that the inbox has: counted, once it is no question.
        if self.dry_run {
            rows.extend(self.done.iter().map(|one| (one.seq, job(one, "done"))));
        }
        rows.extend(
            self.gone
                .iter()
                .map(|seq| (*seq, said(*seq, "its body is gone"))),
        );
        rows.extend(self.idle.iter().map(|seq| {
            let why = "no handler for it, or its id is known";
            (*seq, said(*seq, why))
        }));
        rows.extend(self.unread.iter().map(|(seq, reason)| {
            let why = match reason {
                Some(reason) => format!("still unusable: {reason}"),
                None => "unusable: --provider reads it".to_owned(),
            };
            (*seq, said(*seq, &why))
        }));
        rows.sort_by_key(|(seq, _)| *seq);
        if !rows.is_empty() {
            let rows = rows.into_iter().map(|(_, row)| row);
            writeln!(out, "{}\n", table(["event", "handler", ""], rows))?;
        }
        let (runs, done) = (self.runs.len(), self.done.len());
        writeln!(out, "{runs} {verb}, {done} done")?;
        Ok(())
    }

    fn ending(&self) -> Result<(), Failure> {
        let unread = self.unread.len();
        let gone = self.gone.len();
        if !self.runs.is_empty() || unread + gone == 0 {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "nothing to run: {unread} events cannot be read, and {gone} have no body any more"
        )))
    }

    /// A page failed: those before it did not.
    fn interrupted(&self, error: &dyn std::error::Error) -> Failure {
        let failure = Failure::chain(error);
        match (&failure, self.runs.len()) {
            (Failure::Failed(text), runs) if runs > 0 && !self.dry_run => {
                Failure::failed(format!("{text}; jobs replayed before that: {runs}"))
            }
            _ => failure,
        }
    }
}

impl Job {
    fn new(key: &JobKey) -> Self {
        Self {
            seq: key.seq.0,
            handler: key.handler.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Mutex,
        time::{Duration, SystemTime},
    };

    use clap::{Args as _, FromArgMatches as _};
    use tokio::time::Instant;
    use tower_webhooks_inbox::{
        Batch, BoxFuture, InboxError, InboxErrorKind, MemoryInbox, NewEvent, Replayed,
        forward_inbox,
    };

    use super::*;

    /// Notes when it is asked to replay a page.
    #[derive(Debug)]
    struct Watched {
        inner: MemoryInbox,
        asked: Mutex<Vec<Instant>>,
    }

    impl Inbox for Watched {
        fn replay<'a>(
            &'a self,
            selection: &'a Selection,
        ) -> BoxFuture<'a, Result<Replayed, InboxError>> {
            self.asked.lock().unwrap().push(Instant::now());
            self.inner.replay(selection)
        }

        forward_inbox!(self => self.inner; apply begin settle_apart changed next_due list get stats
            prune retire erase check);
    }

    #[tokio::test(start_paused = true)]
    async fn deliveries_have_their_turn_between_two_pages() {
        let inbox = Watched {
            inner: MemoryInbox::new(),
            asked: Mutex::default(),
        };
        let event = |id: i32| NewEvent::new("shop", id.to_string(), SystemTime::UNIX_EPOCH);
        let batch = Batch {
            inserts: (0..250).map(event).collect(),
            ..Batch::default()
        };
        inbox.apply(batch).await.unwrap();
        let command = Args::augment_args(clap::Command::new("replay"));
        let matches = command.get_matches_from(["replay", "--all"]);
        let args = Args::from_arg_matches(&matches).unwrap();
        run(args, &inbox, false, &mut Vec::new()).await.unwrap();
        let asked = inbox.asked.lock().unwrap();
        let pauses: Vec<Duration> = asked.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(pauses, [PAUSE, PAUSE], "three pages");
    }

    #[test]
    fn a_failure_in_between_says_what_runs_already() {
        let error = InboxError::new(InboxErrorKind::Unavailable, "locked");
        let line = |report: &Report| report.interrupted(&error).line().unwrap();
        let mut report = Report::default();
        assert_eq!(line(&report), "the inbox is unavailable: locked");
        let (seq, handler) = (1, "ship".to_owned());
        report.runs.push(Job { seq, handler });
        assert_eq!(
            line(&report),
            "the inbox is unavailable: locked; jobs replayed before that: 1"
        );
        report.dry_run = true;
        assert_eq!(line(&report), "the inbox is unavailable: locked");
    }
}
