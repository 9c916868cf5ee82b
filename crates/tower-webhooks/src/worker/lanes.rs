//! The handlers that a worker serves, and how many of each may start.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use tower_webhooks_core::{Opener, Provider, Secrets, SetupError, Text};
use tower_webhooks_inbox::{Ordering, Registration, Want};

use super::meters::Meters;
use crate::{
    EventRouter,
    router::{Route, Routes, SetupProblem, SetupProblems},
};

/// An endpoint as a worker sees it: its name, who sends to it, and what
/// handles its events.
#[derive(Debug, Clone)]
pub struct HandledEndpoint {
    name: Text,
    provider: Arc<Provider>,
    routes: Arc<Routes>,
    opener: Option<Opener>,
}

impl HandledEndpoint {
    /// An endpoint with the handlers of a router. Name and provider are those
    /// that the receiving process has: it stores each event under the endpoint's
    /// name, and with the ordering key that its provider finds in the body.
    ///
    /// # Errors
    ///
    /// Every pattern and name in the router that is wrong, every handler in order
    /// of a provider without an ordering key, and a reply handler of one that puts
    /// several events into a delivery.
    pub fn new(
        name: impl Into<Text>,
        provider: impl Into<Arc<Provider>>,
        events: EventRouter,
    ) -> Result<Self, SetupProblems> {
        let routes = Arc::new(events.build()?);
        Self::from_routes(name.into(), provider.into(), routes)
    }

    pub(crate) fn from_routes(
        name: Text,
        provider: Arc<Provider>,
        routes: Arc<Routes>,
    ) -> Result<Self, SetupProblems> {
        if provider.envelope().ordering_key().is_none() {
            let infos = routes.handlers().iter().map(|route| &route.info);
            let in_order = infos.filter(|info| info.settings.ordering != Ordering::None);
            let problems = in_order.map(|info| SetupProblem::NoOrderingKey {
                name: info.name.clone(),
            });
            SetupProblems::check(problems.collect())?;
        }
        if provider.envelope().is_batch()
            && let Some(reply) = routes.first_reply()
        {
            let pattern = reply.info.text.clone();
            SetupProblems::check(vec![SetupProblem::ReplyInBatch { pattern }])?;
        }
        Ok(Self {
            name,
            provider,
            routes,
            opener: None,
        })
    }

    /// Opens the payloads of a provider that encrypts them. The secrets are those of
    /// the receiving process: the payloads' own, or the signing ones where these open
    /// the payloads. Changes nothing for a provider that encrypts nothing.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when a secret does not fit the provider's cipher, or this build
    /// lacks the feature `encryption`.
    pub fn with_payload_secrets(self, secrets: &Secrets) -> Result<Self, SetupError> {
        let encryption = self.provider.encryption();
        let opener = encryption.map(|encryption| Opener::new(encryption, secrets));
        let opener = opener.transpose()?;
        Ok(self.with_opener(opener))
    }

    pub(crate) fn with_opener(mut self, opener: Option<Opener>) -> Self {
        self.opener = opener;
        self
    }

    /// Whether its events could not be read for want of a key.
    fn lacks_opener(&self) -> bool {
        self.provider.encryption().is_some() && self.opener.is_none()
    }
}

/// One handler of one endpoint.
pub(super) struct Lane {
    pub(super) endpoint: Text,
    pub(super) provider: Arc<Provider>,
    pub(super) opener: Option<Arc<Opener>>,
    pub(super) route: Route,
    pub(super) meters: Meters,
}

impl Lane {
    pub(super) fn handler(&self) -> &Text {
        &self.route.info.name
    }

    fn want(&self, free: usize) -> Want {
        Want {
            endpoint: self.endpoint.clone(),
            handler: self.handler().clone(),
            free,
        }
    }
}

/// All handlers, with how many runs of each there are.
pub(super) struct Lanes {
    lanes: Vec<Arc<Lane>>,
    running: Vec<usize>,
    places: HashMap<Text, HashMap<Text, usize>>,
    /// Which lane is asked first when not all can be.
    turn: usize,
}

impl Lanes {
    pub(super) fn new(
        endpoints: impl IntoIterator<Item = HandledEndpoint>,
    ) -> Result<Self, SetupProblems> {
        let mut lanes = Vec::new();
        let mut places: HashMap<Text, HashMap<Text, usize>> = HashMap::new();
        let mut seen = HashSet::new();
        let mut problems = Vec::new();
        for endpoint in endpoints {
            if !seen.insert(endpoint.name.clone()) {
                let endpoint = endpoint.name;
                problems.push(SetupProblem::DuplicateEndpoint { endpoint });
                continue;
            }
            if endpoint.lacks_opener() {
                let endpoint = endpoint.name.clone();
                problems.push(SetupProblem::PayloadSecretsMissing { endpoint });
            }
            let opener = endpoint.opener.map(Arc::new);
            for route in endpoint.routes.handlers() {
                let handlers = places.entry(endpoint.name.clone()).or_default();
                handlers.insert(route.info.name.clone(), lanes.len());
                lanes.push(Arc::new(Lane {
                    meters: Meters::of(&endpoint.name, &route.info.name),
                    endpoint: endpoint.name.clone(),
                    provider: Arc::clone(&endpoint.provider),
                    opener: opener.clone(),
                    route: route.clone(),
                }));
            }
        }
        SetupProblems::check(problems)?;
        Ok(Self {
            running: vec![0; lanes.len()],
            lanes,
            places,
            turn: 0,
        })
    }

    /// Whether there is no handler at all.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    pub(super) fn registrations(&self) -> Vec<Registration> {
        let registrations = self.lanes.iter().map(|lane| Registration {
            endpoint: lane.endpoint.clone(),
            handler: lane.handler().clone(),
            pattern: lane.route.info.pattern.clone(),
            fallback: lane.route.info.fallback,
            ordering: lane.route.info.settings.ordering,
        });
        registrations.collect()
    }

    /// The place of a handler, if it is one of these.
    pub(super) fn find(&self, endpoint: &str, handler: &str) -> Option<usize> {
        self.places.get(endpoint)?.get(handler).copied()
    }

    pub(super) fn at(&self, place: usize) -> Option<&Arc<Lane>> {
        self.lanes.get(place)
    }

    pub(super) fn started(&mut self, place: usize) {
        if let Some(running) = self.running.get_mut(place) {
            *running = running.saturating_add(1);
        }
    }

    pub(super) fn ended(&mut self, place: usize) {
        if let Some(running) = self.running.get_mut(place) {
            *running = running.saturating_sub(1);
        }
    }

    /// How many more runs a handler may have.
    pub(super) fn free(&self, place: usize) -> usize {
        let limit = self
            .lanes
            .get(place)
            .map(|lane| lane.route.info.settings.concurrency);
        let running = self.running.get(place).copied();
        limit.unwrap_or(0).saturating_sub(running.unwrap_or(0))
    }

    /// The free slots of all handlers, at most `budget` together: when there
    /// are more, each handler gets a fair share first, and another one begins
    /// each time. Those without any are named too, so that the inbox knows that
    /// somebody has them.
    ///
    /// The last slots are kept for handlers that run nothing, one for each: however
    /// many and slow the jobs of others are, the first of theirs begins at once.
    pub(super) fn wants(&mut self, budget: usize) -> Vec<Want> {
        let count = self.lanes.len();
        let first = self.turn;
        self.turn = first.wrapping_add(1) % count.max(1);
        let order = || (0..count).map(|step| (first + step) % count);
        let open = order().filter(|place| self.free(*place) > 0).count();
        let share = (budget / open.max(1)).max(1);
        let mut kept = self.kept(budget);

        let mut left = budget;
        let mut given = vec![0_usize; count];
        for most in [share, usize::MAX] {
            for place in order() {
                if let Some(given) = given.get_mut(place) {
                    let first = *given == 0 && self.runs_nothing(place);
                    let room = if first {
                        left
                    } else {
                        left.saturating_sub(kept)
                    };
                    let more = (self.free(place) - *given).min(most).min(room);
                    if first && more > 0 {
                        kept = kept.saturating_sub(1);
                    }
                    *given += more;
                    left -= more;
                }
            }
        }
        self.lanes
            .iter()
            .zip(given)
            .map(|(lane, free)| lane.want(free))
            .collect()
    }

    /// Every handler that [`wants`](Self::wants) has a slot for, if not now then at
    /// its turn. What is due for one of these can be claimed without waiting.
    pub(super) fn open(&self, budget: usize) -> Vec<Want> {
        let kept = self.kept(budget);
        let lanes = self.lanes.iter().enumerate();
        let open = lanes.filter_map(|(place, lane)| {
            let room = if self.runs_nothing(place) {
                budget
            } else {
                budget.saturating_sub(kept)
            };
            let free = self.free(place).min(room);
            (free > 0).then(|| lane.want(free))
        });
        open.collect()
    }
}

impl Lanes {
    fn runs_nothing(&self, place: usize) -> bool {
        self.running.get(place) == Some(&0)
    }

    /// How many of the free slots are for handlers that run nothing.
    fn kept(&self, budget: usize) -> usize {
        let all = self.running.iter().sum::<usize>().saturating_add(budget);
        let idle = (0..self.lanes.len()).filter(|place| self.runs_nothing(*place));
        idle.count().min(all / KEPT)
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .lanes
            .iter()
            .map(|lane| (&lane.endpoint, lane.handler()));
        f.debug_list().entries(names).finish()
    }
}

/// At most one slot of so many is kept: few slots are all for use.
const KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::{Handler, fixtures};

    fn lanes(concurrency: &[usize]) -> Lanes {
        let handler = async || {};
        let router =
            concurrency
                .iter()
                .enumerate()
                .fold(EventRouter::new(), |router, (place, at_once)| {
                    let at_once = NonZeroUsize::new(*at_once).unwrap();
                    let name = format!("h{place}");
                    router.on("*", handler.named(name).concurrency(at_once))
                });
        Lanes::new([HandledEndpoint::new("shop", fixtures::provider(), router).unwrap()]).unwrap()
    }

    fn free(wants: &[Want]) -> Vec<(&str, usize)> {
        wants
            .iter()
            .map(|want| (want.handler.as_str(), want.free))
            .collect()
    }

    #[test]
    fn all_free_slots_are_asked_for_when_there_is_room() {
        let mut lanes = lanes(&[3, 1, 5]);
        assert_eq!(free(&lanes.wants(9)), [("h0", 3), ("h1", 1), ("h2", 5)]);
        lanes.started(1);
        lanes.started(2);
        assert_eq!(free(&lanes.wants(100)), [("h0", 3), ("h1", 0), ("h2", 4)]);
        lanes.ended(1);
        assert_eq!(lanes.free(1), 1);
    }

    #[test]
    fn scarce_room_is_shared_and_nobody_waits_for_ever() {
        let mut lanes = lanes(&[100, 2, 100]);
        let wants = lanes.wants(20);
        assert_eq!(wants.iter().map(|want| want.free).sum::<usize>(), 20);
        assert!(wants.iter().all(|want| want.free >= 2), "{wants:?}");

        let firsts: Vec<_> = (0..3)
            .map(|_| {
                let wants = lanes.wants(1);
                let first = wants.into_iter().find(|want| want.free > 0);
                first.unwrap().handler
            })
            .collect();
        for handler in ["h0", "h1", "h2"] {
            assert!(firsts.iter().any(|first| first == handler), "{firsts:?}");
        }
        assert_eq!(free(&lanes.wants(0)), [("h0", 0), ("h1", 0), ("h2", 0)]);
    }

    #[test]
    fn a_flooded_handler_leaves_a_slot_to_each_that_runs_nothing() {
        let mut lanes = lanes(&[100, 100, 100]);
        (0..29).for_each(|_| lanes.started(0));
        // 32 in all: one is left for each of the two that run nothing.
        for _ in 0..3 {
            assert_eq!(free(&lanes.wants(2)), [("h0", 0), ("h1", 1), ("h2", 1)]);
        }
        assert_eq!(free(&lanes.open(2)), [("h1", 2), ("h2", 2)]);
        // Whoever runs has had its place, and the flooded one takes no more than before.
        lanes.started(1);
        assert_eq!(free(&lanes.open(1)), [("h2", 1)]);
        (0..3).for_each(|_| assert_eq!(free(&lanes.wants(1))[0], ("h0", 0)));
        assert!((0..3).all(|_| free(&lanes.wants(1))[2] == ("h2", 1)));
    }

    #[test]
    fn few_slots_are_all_for_use() {
        let mut lanes = lanes(&[100, 100]);
        (0..6).for_each(|_| lanes.started(0));
        let wanted = (0..2).any(|_| free(&lanes.wants(1))[0].1 == 1);
        assert!(wanted, "the seventh of seven slots");
    }

    #[test]
    fn an_endpoint_is_served_once() {
        let shop = || HandledEndpoint::new("shop", fixtures::provider(), EventRouter::new());
        let problems = Lanes::new([shop().unwrap(), shop().unwrap()]).unwrap_err();
        assert_eq!(problems.to_string(), "the endpoint `shop` is given twice");
    }
}
