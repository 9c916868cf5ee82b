//! Receives CryptoMate webhooks: credits deposits, follows what becomes of a
//! card's transactions, and decides authorizations while the till waits.
//!
//! What happens then goes through [`Ledger`] and [`Cards`]: put your own in the
//! place of [`Logged`]. Amounts stay exact: no floating point anywhere.
//!
//! CryptoMate's key shows who sends, and covers nothing of what is sent. Look
//! a deposit up with its API before you credit more than you can lose.

use std::sync::Arc;

use axum::{Json, Router, extract::State};
use serde_json::{Value, json};
use tower_webhooks::providers::cryptomate::{
    APPROVED, CardAuthorization, CardTransaction, CardsDeposit, Common, DECLINED, Deposit,
    TreasuryDeposit, VirtualWalletsDeposit,
};
use tower_webhooks::providers::{self, RawJson};
use tower_webhooks::{
    Amount, Decide as _, Delivery, Endpoint, Event, EventRouter, EventType as _, HandlerError,
    Inbox, Secrets, Webhooks, WebhooksBuilder,
};

/// Where CryptoMate posts to.
pub const PATH: &str = "/webhooks/cryptomate";

/// What becomes of a card's transaction, in whatever status.
const CARD_LIFE: &[&str] = &[
    "cards.3ds_challenge.*",
    "cards.authorization.*",
    "cards.clearing.*",
    "cards.declined.*",
    "cards.refund.*",
    "cards.reversal.*",
];

type Done = Result<(), HandlerError>;

/// Keeps the books.
pub trait Ledger: Clone + Send + Sync + 'static {
    /// Credits a deposit's net amount to its wallet, once per `key`.
    fn credit(&self, key: &str, deposit: &Deposit) -> impl Future<Output = Done> + Send;
}

/// Keeps the cards.
pub trait Cards: Clone + Send + Sync + 'static {
    /// Decides whether a card may pay, and gives the code for it: [`APPROVED`]
    /// or [`DECLINED`]. The till waits for a second at the most: a failure or
    /// a late decision declines.
    fn decide(
        &self,
        wanted: &CardTransaction,
    ) -> impl Future<Output = Result<&'static str, HandlerError>> + Send;

    /// Notes a step in the life of a card's transaction, once per `key`. Steps
    /// may come in another order than they happened.
    fn follow(
        &self,
        key: &str,
        operation: &Common,
        data: &RawJson,
    ) -> impl Future<Output = Done> + Send;
}

/// The receiver, with its handlers started.
///
/// # Errors
///
/// When something is set up wrongly, or the inbox is away.
pub async fn app<E: Ledger + Cards>(
    secrets: Secrets,
    effects: E,
    inbox: impl Inbox,
    builder: WebhooksBuilder,
) -> anyhow::Result<(Router, Arc<Webhooks>)> {
    let declined = authorization_body(DECLINED);
    let mut events = EventRouter::new()
        .on(TreasuryDeposit::EVENT_TYPE, credit::<E>)
        .on(CardsDeposit::EVENT_TYPE, credit::<E>)
        .on(VirtualWalletsDeposit::EVENT_TYPE, credit::<E>)
        .reply(
            CardAuthorization::EVENT_TYPE,
            authorize::<E>.or_default(declined),
        );
    for pattern in CARD_LIFE {
        events = events.on(*pattern, follow::<E>);
    }
    let endpoint = Endpoint::new("cryptomate", providers::cryptomate(), secrets)
        .events(events.with_state(effects));
    let webhooks = builder.start(inbox, [endpoint]).await?;
    let app = Router::new().route_service(PATH, webhooks.endpoint("cryptomate")?);
    Ok((app, Arc::new(webhooks)))
}

/// The answer to an authorization. The codes are documented. The field's name
/// is NOT: `code` is a guess of ours. Ask CryptoMate, and change it here.
pub fn authorization_body(code: &str) -> Json<Value> {
    Json(json!({ "code": code }))
}

async fn authorize<E: Cards>(
    State(cards): State<E>,
    event: Event<CardTransaction>,
) -> Result<Json<Value>, HandlerError> {
    Ok(authorization_body(cards.decide(&event.data).await?))
}

async fn credit<E: Ledger>(State(ledger): State<E>, event: Event<Deposit>) -> Done {
    ledger.credit(event.id(), &event.data).await
}

async fn follow<E: Cards>(at: State<E>, event: Event<RawJson>, delivery: Delivery) -> Done {
    let Some(operation) = Common::of(&delivery) else {
        return Err(HandlerError::permanent("the delivery names no operation"));
    };
    at.follow(event.id(), &operation, &event.data).await
}

/// Logs what would happen, and approves up to a limit. To be replaced.
#[derive(Debug, Clone)]
pub struct Logged {
    /// The most that one transaction may cost, in US dollars.
    pub limit_usd: Amount,
}

impl Ledger for Logged {
    async fn credit(&self, key: &str, deposit: &Deposit) -> Done {
        let (wallet, token) = (&deposit.wallet_id, &deposit.token.symbol);
        tracing::info!(key, wallet, amount = %deposit.net_amount, token, "credited");
        Ok(())
    }
}

impl Cards for Logged {
    async fn decide(&self, wanted: &CardTransaction) -> Result<&'static str, HandlerError> {
        let usd = &wanted.bill_amount;
        let within = *usd > Amount::from(0) && *usd <= self.limit_usd;
        let approved = within && wanted.bill_currency_code == "USD";
        Ok(if approved { APPROVED } else { DECLINED })
    }

    async fn follow(&self, key: &str, operation: &Common, _: &RawJson) -> Done {
        tracing::info!(key, status = operation.status, "card transaction");
        Ok(())
    }
}
