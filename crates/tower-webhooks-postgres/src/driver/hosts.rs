//! The one of several hosts that answers.
//!
//! The driver asks hosts one after another, and a host that vanished without a word
//! never answers: the others would not be asked in the time that a caller waits.
//! Here each gets a head start, and those after it are asked while it thinks.

use std::{future::poll_fn, time::Duration};

use deadpool_postgres::Connect;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, Error, Socket,
    config::{Host, LoadBalanceHosts},
    tls::MakeTlsConnect,
};
use tower_webhooks_inbox::BoxFuture;

use crate::tls::Tls;

/// Hosts to connect to, and how.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    each: Vec<Config>,
    shuffled: bool,
    tls: Tls,
    head_start: Duration,
}

type Connected = (
    Client,
    Connection<Socket, <Tls as MakeTlsConnect<Socket>>::Stream>,
);

impl Hosts {
    /// Of all that a configuration names, so that each is asked within the limit.
    pub(crate) fn new(config: &Config, tls: Tls, limit: Duration) -> Self {
        let each = each(config);
        let shares = u32::try_from(each.len()).unwrap_or(u32::MAX);
        Self {
            head_start: limit / shares.saturating_add(1),
            shuffled: config.get_load_balance_hosts() == LoadBalanceHosts::Random,
            each,
            tls,
        }
    }

    /// A connection to the first host that makes one; if none does, why the last
    /// one did not.
    async fn connect(&self) -> Result<Connected, Error> {
        let mut waiting: Vec<&Config> = self.each.iter().rev().collect();
        if self.shuffled {
            waiting.sort_by_cached_key(|_| rand::random::<u64>());
        }
        let mut asked = FuturesUnordered::new();
        loop {
            if let Some(next) = waiting.pop() {
                asked.push(next.connect(self.tls.clone()));
            }
            tokio::select! {
                Some(answer) = asked.next() => match answer {
                    Err(_) if !waiting.is_empty() || !asked.is_empty() => {}
                    answer => return answer,
                },
                () = sleep(self.head_start), if !waiting.is_empty() => {}
            }
        }
    }

    /// A connection that tells what is notified on it.
    pub(crate) async fn listen(
        &self,
        tell: mpsc::Sender<String>,
    ) -> Result<(Client, JoinHandle<()>), Error> {
        let (client, mut connection) = self.connect().await?;
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(notification) = message {
                    // Full: something is being told anyway.
                    let _ = tell.try_send(notification.payload().to_owned());
                }
            }
        });
        Ok((client, task))
    }
}

impl Connect for Hosts {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(async {
            let (client, connection) = self.connect().await?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(reason = %error, "a connection to the database broke");
                }
            });
            Ok((client, task))
        })
    }
}

/// The configuration of each host by itself; the whole where there is one, or where
/// hosts, addresses and ports do not fit, which the driver says.
fn each(config: &Config) -> Vec<Config> {
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    let ports = config.get_ports();
    let count = hosts.len().max(addresses.len());
    let fits = |parts: usize| parts == 0 || parts == count;
    let fit = fits(hosts.len()) && fits(addresses.len()) && (ports.len() == 1 || fits(ports.len()));
    if count < 2 || !fit {
        return vec![config.clone()];
    }
    let one = |place: usize| {
        let mut one = without_hosts(config);
        match hosts.get(place) {
            Some(Host::Tcp(name)) => one.host(name),
            #[cfg(unix)]
            Some(Host::Unix(path)) => one.host_path(path),
            None => &mut one,
        };
        if let Some(address) = addresses.get(place) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(place).or_else(|| ports.first()) {
            one.port(*port);
        }
        one
    };
    (0..count).map(one).collect()
}

/// All but the hosts, which a configuration only gains.
fn without_hosts(config: &Config) -> Config {
    let mut other = Config::new();
    if let Some(user) = config.get_user() {
        other.user(user);
    }
    if let Some(password) = config.get_password() {
        other.password(password);
    }
    if let Some(name) = config.get_dbname() {
        other.dbname(name);
    }
    if let Some(options) = config.get_options() {
        other.options(options);
    }
    if let Some(name) = config.get_application_name() {
        other.application_name(name);
    }
    if let Some(limit) = config.get_connect_timeout() {
        other.connect_timeout(*limit);
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        other.tcp_user_timeout(*limit);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        other.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        other.keepalives_retries(retries);
    }
    other
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Config {
        text.parse().unwrap()
    }

    #[test]
    fn each_host_keeps_all_other_settings() {
        let settings = "user=me password=pa55 dbname=hooks options='-c jit=off' \
            application_name=shop sslmode=require sslnegotiation=direct connect_timeout=3 \
            tcp_user_timeout=4 keepalives=0 keepalives_idle=5 keepalives_interval=6 \
            keepalives_retries=7 target_session_attrs=read-write channel_binding=require \
            load_balance_hosts=random";
        for (hosts, alone) in [
            ("host=a,b port=1,2", ["host=a port=1", "host=b port=2"]),
            (
                "host=a,/run/b port=1",
                ["host=a port=1", "host=/run/b port=1"],
            ),
            (
                "host=a,b hostaddr=127.0.0.1,::1",
                ["host=a hostaddr=127.0.0.1", "host=b hostaddr=::1"],
            ),
            (
                "hostaddr=127.0.0.1,127.0.0.2",
                ["hostaddr=127.0.0.1", "hostaddr=127.0.0.2"],
            ),
        ] {
            let found = each(&parsed(&format!("{hosts} {settings}")));
            let expected = alone.map(|alone| parsed(&format!("{alone} {settings}")));
            assert_eq!(found, expected, "{hosts}");
        }
    }

    #[test]
    fn one_host_or_parts_that_do_not_fit_stay_as_they_are() {
        for text in [
            "host=a",
            "user=me",
            "host=a,b port=1,2,3",
            "host=a,b hostaddr=::1",
        ] {
            let config = parsed(text);
            assert_eq!(each(&config), [config], "{text}");
        }
    }
}
