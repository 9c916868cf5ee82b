use std::time::SystemTime;

use tower_webhooks_core::Text;
use tower_webhooks_inbox::{EventSeq, EventState, Filter, JobState, Pattern};

use crate::args::parse_moment;

/// Which events: those of which all that is given holds.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which events")]
pub(super) struct FilterArgs {
    /// This event, by its number in the inbox
    #[arg(long, value_name = "SEQ")]
    event: Option<u64>,

    /// Of this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,

    /// Of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,

    /// With this id of the provider's
    #[arg(long)]
    id: Option<String>,

    /// Of these types: one, such as transfer.settled, or all below one, such as 'transfer.*'
    #[arg(long = "type", value_name = "PATTERN")]
    event_type: Option<Pattern>,

    /// With a job of this handler
    #[arg(long, value_name = "NAME")]
    handler: Option<String>,

    /// Received then or later: RFC 3339, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    since: Option<SystemTime>,

    /// Received before then
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    until: Option<SystemTime>,

    /// That later deliveries were taken for, since their body was equal and their id not signed
    #[arg(long)]
    suppressed: bool,
}

impl FilterArgs {
    /// Whether nothing is given, and so all are chosen.
    pub(super) fn is_empty(&self) -> bool {
        self.event.is_none()
            && self.endpoint.is_none()
            && self.tenant.is_none()
            && self.id.is_none()
            && self.event_type.is_none()
            && self.handler.is_none()
            && self.since.is_none()
            && self.until.is_none()
            && !self.suppressed
    }

    pub(super) fn filter(self, state: Option<State>) -> Filter {
        let (state, job_state) = state.map_or((None, None), State::parts);
        Filter {
            seq: self.event.map(EventSeq),
            endpoint: self.endpoint.map(Text::from),
            tenant: self.tenant.map(Text::from),
            id: self.id.map(Text::from),
            event_type: self.event_type,
            state,
            handler: self.handler.map(Text::from),
            job_state,
            received_from: self.since,
            received_until: self.until,
            suppressed: self.suppressed,
        }
    }
}

/// What became of an event, or of one of its jobs: no two are named alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum State {
    /// Its id was known with another body
    Conflict,
    /// With a job that will not run again by itself
    Dead,
    /// With a job that is done
    Done,
    /// With a job that waits
    Pending,
    /// It has its jobs
    Routed,
    /// With a job that a worker has
    Running,
    /// No handler matched
    Unhandled,
    /// It could not be read
    Unusable,
}

impl State {
    const fn parts(self) -> (Option<EventState>, Option<JobState>) {
        match self {
            Self::Conflict => (Some(EventState::Conflict), None),
            Self::Dead => (None, Some(JobState::Dead)),
            Self::Done => (None, Some(JobState::Done)),
            Self::Pending => (None, Some(JobState::Pending)),
            Self::Routed => (Some(EventState::Routed), None),
            Self::Running => (None, Some(JobState::Running)),
            Self::Unhandled => (Some(EventState::Unhandled), None),
            Self::Unusable => (Some(EventState::Unusable), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_state_is_read_as_it_is_reported() {
        for state in State::value_variants() {
            let given = state.to_possible_value().unwrap();
            let reported = match state.parts() {
                (Some(state), None) => state.as_str(),
                (None, Some(state)) => state.as_str(),
                both => panic!("{both:?}"),
            };
            assert_eq!(given.get_name(), reported);
        }
    }
}
