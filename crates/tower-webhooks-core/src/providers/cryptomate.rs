//! CryptoMate: wallets, treasury and payment cards.
//!
//! # Sources
//!
//! docs.cryptomate.me/integration/webhooks and /products/cards-configuration,
//! and the pages of the events under
//! app.theneo.io/cryptomate/api/webhooks/events, read 2026-11-22 from stored
//! copies.
//!
//! Their ages show: older pages write `operation` and `sub_operation` in upper
//! case, newer ones `product` and `event_type` in lower case. Both pairs are
//! read here, in any case. An event's type is `area.type.status` in lower case
//! (`cards.clearing.pending`), since the type alone does not tell the outcome;
//! its id is that type and `operation_id`, since one operation has several
//! events.
//!
//! # What the signature covers
//!
//! Nothing: `X-Webhook-Key` is the shared key itself. It shows who sends;
//! whoever reads one delivery can make others. `X-Request-Timestamp`
//! (milliseconds since 1970) comes with it and proves nothing. Keep the URL
//! secret and on HTTPS, and look an amount up before acting on it.
//!
//! # What is not documented
//!
//! The field names of the answer to a card authorization: the codes are
//! [`APPROVED`] and [`DECLINED`], the body is yours to shape. The types and
//! payloads of the events that are known by their titles alone. The retry
//! schedule, and the body that other events are to be answered with. The
//! largest body: the endpoint's 1 MiB applies.
//!
//! Newer pages allow 1,200 ms for a decision, older ones 1,000: the preset
//! has the safe one. One page spells a status `CANCELLED` and another one
//! `canceled`, and one sample of a deposit says `FINISHED`; handlers for
//! `treasury.*` or `cards.*` see them all.

use std::time::Duration;

use http::HeaderName;

use super::{
    known,
    payload::{event, payload},
};
use crate::{
    Amount, Delivery, EventType as _, Provider,
    provider::{
        AlsoSent, Envelope, Events, Locator, LocatorPart, Place, ReplyRule, Scheme, SentValue,
        TokenScheme,
    },
    providers::RawJson,
};

/// The code that approves a card authorization.
pub const APPROVED: &str = "00";

/// The code that declines a card authorization; others are not documented.
pub const DECLINED: &str = "05";

/// The preset for CryptoMate.
#[must_use]
pub fn cryptomate() -> Provider {
    let event_type = Locator::joined(
        ".",
        [
            LocatorPart::any(["/product", "/operation"]).in_lower_case(),
            LocatorPart::any(["/event_type", "/sub_operation"]).in_lower_case(),
            LocatorPart::any(["/status"]).in_lower_case(),
        ],
    );
    let id = Locator::joined(
        ":",
        [
            LocatorPart::any([Place::EventType]),
            LocatorPart::any(["/operation_id"]),
        ],
    );
    Provider::new(
        "cryptomate",
        Scheme::Token(TokenScheme::new(HeaderName::from_static("x-webhook-key"))),
        Envelope::new(event_type).with_id(id).with_data("/data"),
    )
    .with_title("CryptoMate")
    .with_source("docs.cryptomate.me/integration/webhooks, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        known::<TreasuryDeposit>(TREASURY_DEPOSIT),
        known::<CardsDeposit>(CARDS_DEPOSIT),
        known::<VirtualWalletsDeposit>(VIRTUAL_WALLETS_DEPOSIT),
        known::<VirtualWalletsWithdraw>(WITHDRAW),
        known::<VirtualWalletsWithdrawFailed>(WITHDRAW_FAILED),
        known::<CardAuthorization>(CARD_AUTHORIZATION),
        known::<CardDeclined>(CARD_DECLINED),
        known::<CardClearingPending>(CARD_CLEARING_PENDING),
        known::<CardClearingFailed>(CARD_CLEARING_FAILED),
        known::<CardCleared>(CARD_CLEARED),
        known::<CardRefund>(CARD_REFUND),
        known::<CardReversal>(CARD_REVERSAL),
        known::<Card3dsChallenge>(CARD_3DS_CHALLENGE),
    ]))
    .with_replies([ReplyRule::new(CardAuthorization::EVENT_TYPE, Duration::from_secs(1))])
    .with_also_sent([AlsoSent::new(
        HeaderName::from_static("x-request-timestamp"),
        SentValue::Milliseconds,
    )])
    .with_not_covered([
        "the body: the key shows who sends, and covers nothing that is sent",
        "X-Request-Timestamp and all other headers, the method and the URL",
    ])
    .with_assumptions([
        "the type is area.type.status in lower case, and the id is that type and operation_id",
        "the types of cleared, clearing failed, reversal and 3DS challenge are inferred from their titles",
        "the field names of the answer to an authorization are not visible: the user shapes it",
        "the pages give 1,000 and 1,200 ms for an authorization: the shorter one",
        "the retry schedule and the answer's body are not visible: 72 h and an empty 200",
        "the largest body is not documented: 1 MiB",
    ])
}

payload! {
    /// What a delivery says outside of its payload.
    ///
    /// A handler that needs it takes the [`Delivery`] beside its event.
    pub struct Common {
        required {
            /// The operation's id. Several events of one operation share it.
            operation_id: String = "operation_id",
            /// The status as it was written, in upper or lower case.
            status: String = "status",
        }
        optional {
            /// Why an operation failed.
            reason: RawJson = "reason",
            /// The client whom it concerns.
            client_id: RawJson = "client_id",
        }
    }
}

impl Common {
    /// Reads it out of a delivery's body; nothing if the body has another
    /// form.
    #[must_use]
    pub fn of(delivery: &Delivery) -> Option<Self> {
        serde_json::from_slice(delivery.body()).ok()
    }
}

payload! {
    /// Money arrived in a wallet. The smallest that is reported is 10 USD for
    /// cards and 1 USD otherwise.
    pub struct Deposit {
        required {
            /// The wallet's id.
            wallet_id: String = "wallet_id",
            /// The wallet's address.
            wallet_address: String = "wallet_address",
            /// The transaction on the chain.
            transaction_hash: String = "transaction_hash",
            /// The chain.
            blockchain: String = "blockchain",
            /// Where it came from.
            from_wallet_address: String = "from_wallet_address",
            /// What was sent.
            amount: Amount = "amount",
            /// What is left of it after fees.
            net_amount: Amount = "net_amount",
            /// What it was sent in.
            token: Token = "token",
            /// When, in RFC 3339 with any offset.
            created_at: String = "created_at",
        }
    }
}

payload! {
    /// A token on a chain.
    pub struct Token {
        required {
            /// Its name.
            name: String = "name",
            /// Its symbol, such as `USDC`.
            symbol: String = "symbol",
        }
        optional {
            /// Its contract's address.
            address: String = "address",
        }
    }
}

event! {
    /// Money arrived in the treasury.
    pub struct TreasuryDeposit = "treasury.deposit.success": Deposit
}

event! {
    /// Money arrived for cards.
    pub struct CardsDeposit = "cards.deposit.success": Deposit
}

event! {
    /// Money arrived in a virtual wallet.
    pub struct VirtualWalletsDeposit = "virtual_wallets.deposit.success": Deposit
}

payload! {
    /// Money left a wallet, or was to leave it.
    pub struct Withdraw {
        required {
            /// The wallet's id.
            wallet_id: String = "wallet_id",
            /// The wallet's address.
            wallet_address: String = "wallet_address",
            /// The chain.
            blockchain: String = "blockchain",
            /// Where it goes.
            to_wallet_address: String = "to_wallet_address",
            /// What is sent.
            amount: Amount = "amount",
            /// What it is sent in.
            token: Token = "token",
            /// When, in RFC 3339 with any offset.
            created_at: String = "created_at",
        }
        optional {
            /// The transaction on the chain, or `internal` between two
            /// virtual wallets.
            transaction_hash: String = "transaction_hash",
        }
    }
}

event! {
    /// Money left a virtual wallet.
    pub struct VirtualWalletsWithdraw = "virtual_wallets.withdraw.success": Withdraw
}

event! {
    /// Money could not leave a virtual wallet; [`Common::reason`] may say why.
    pub struct VirtualWalletsWithdrawFailed = "virtual_wallets.withdraw.failed": Withdraw
}

payload! {
    /// A transaction with a card.
    pub struct CardTransaction {
        required {
            /// The card's id.
            card_id: String = "card_id",
            /// What the card is charged, in US dollars.
            bill_amount: Amount = "bill_amount",
            /// `USD`.
            bill_currency_code: String = "bill_currency_code",
            /// What is shown at the till.
            transaction_amount: Amount = "transaction_amount",
            /// The currency at the till, ISO 4217.
            transaction_currency_code: String = "transaction_currency_code",
            /// Who is paid.
            merchant_data: MerchantData = "merchant_data",
        }
        optional {
            /// The currency of the bill, ISO 4217 number.
            bill_currency_number: u16 = "bill_currency_number",
            /// The currency at the till, ISO 4217 number.
            transaction_currency_number: u16 = "transaction_currency_number",
            /// Dollars for one unit of the currency at the till.
            exchange_rate: Amount = "exchange_rate",
            /// What it costs besides.
            fees: Fees = "fees",
            /// `ATM`, `POS`, `ECOMMERCE` or `Visa Direct`; not on an
            /// authorization.
            channel: String = "channel",
            /// When, in RFC 3339 with any offset; not on an authorization.
            created_at: String = "created_at",
            /// Why it was declined; its fields are not visible.
            declined_reason: RawJson = "declined_reason",
        }
    }
}

payload! {
    /// What a card transaction costs besides.
    pub struct Fees {
        required {
            /// For cash, 0 when none.
            atm_fees: Amount = "atm_fees",
            /// For another currency, 0 when none.
            fx_fees: Amount = "fx_fees",
        }
    }
}

payload! {
    /// Who is paid with a card.
    pub struct MerchantData {
        required {
            /// The merchant's id.
            id: String = "id",
            /// The merchant's name.
            name: String = "name",
        }
        optional {
            /// The city.
            city: String = "city",
            /// The post code.
            post_code: String = "post_code",
            /// The state.
            state: String = "state",
        }
    }
}

event! {
    /// A card transaction waits for your decision, for 1,000 ms. Only sent for
    /// cards whose approval method is `WEBHOOK`.
    pub struct CardAuthorization = "cards.authorization.pending": CardTransaction
}

event! {
    /// A card transaction was declined. The documented status of this event is
    /// `SUCCESS`.
    pub struct CardDeclined = "cards.declined.success": CardTransaction
}

event! {
    /// A card transaction is being cleared.
    pub struct CardClearingPending = "cards.clearing.pending": CardTransaction
}

event! {
    /// A card transaction could not be cleared. Known by its title alone: the
    /// type is inferred, the fields are not visible.
    pub struct CardClearingFailed = "cards.clearing.failed": RawJson
}

event! {
    /// A card transaction was cleared. Known by its title alone: the type is
    /// inferred, the fields are not visible.
    pub struct CardCleared = "cards.clearing.success": RawJson
}

event! {
    /// Money came back to a card.
    pub struct CardRefund = "cards.refund.success": CardTransaction
}

event! {
    /// A card transaction was reversed. Known by its title alone: the type is
    /// inferred, the fields are not visible.
    pub struct CardReversal = "cards.reversal.success": RawJson
}

event! {
    /// A purchase on line is to be confirmed, by a call of its own and not in
    /// the answer. Known by its title alone: the type is inferred, the fields
    /// are not visible.
    pub struct Card3dsChallenge = "cards.3ds_challenge.pending": RawJson
}

const TREASURY_DEPOSIT: &str = r#"{"product":"treasury","event_type":"deposit","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fd0","status":"success","data":{"wallet_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz56","wallet_address":"0x742d35Cc6634C0532925a3b844Bc9e7595f00000","transaction_hash":"0x123abc0000000000000000000000000000000000000000000000000000000000","blockchain":"POLYGON","from_wallet_address":"0x1111111111111111111111111111111111111111","amount":250.00,"net_amount":249.50,"token":{"name":"USD Coin","symbol":"USDC","address":"0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"},"created_at":"2026-03-02T10:20:56.654Z"}}"#;

const CARDS_DEPOSIT: &str = r#"{"product":"cards","event_type":"deposit","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fd1","status":"success","data":{"wallet_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz57","wallet_address":"0x742d35Cc6634C0532925a3b844Bc9e7595f00001","transaction_hash":"0x123abc0000000000000000000000000000000000000000000000000000000001","blockchain":"POLYGON","from_wallet_address":"0x1111111111111111111111111111111111111111","amount":100.00,"net_amount":99.00,"token":{"name":"USD Coin","symbol":"USDC","address":"0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"},"created_at":"2026-03-02T10:21:56.654Z"}}"#;

const VIRTUAL_WALLETS_DEPOSIT: &str = r#"{"product":"virtual_wallets","event_type":"deposit","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fd2","status":"success","data":{"wallet_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz58","wallet_address":"0x742d35Cc6634C0532925a3b844Bc9e7595f00002","transaction_hash":"0x123abc0000000000000000000000000000000000000000000000000000000002","blockchain":"POLYGON","from_wallet_address":"0x1111111111111111111111111111111111111111","amount":25.50,"net_amount":25.50,"token":{"name":"USD Coin","symbol":"USDC","address":"0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"},"created_at":"2026-03-02T10:22:56.654Z"}}"#;

const WITHDRAW: &str = r#"{"product":"virtual_wallets","event_type":"withdraw","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fd3","status":"success","client_id":"client_0001","data":{"wallet_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz58","wallet_address":"0x742d35Cc6634C0532925a3b844Bc9e7595f00002","transaction_hash":"internal","blockchain":"POLYGON","to_wallet_address":"0x2222222222222222222222222222222222222222","amount":"100.1","token":{"name":"USD Coin","symbol":"USDC","address":"0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"},"created_at":"2026-03-02T10:20:56.654-03:00"}}"#;

const WITHDRAW_FAILED: &str = r#"{"product":"virtual_wallets","event_type":"withdraw","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fd4","status":"failed","reason":"insufficient funds","client_id":"client_0001","data":{"wallet_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz58","wallet_address":"0x742d35Cc6634C0532925a3b844Bc9e7595f00002","blockchain":"POLYGON","to_wallet_address":"0x2222222222222222222222222222222222222222","amount":"100.1","token":{"name":"USD Coin","symbol":"USDC","address":"0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"},"created_at":"2026-03-02T10:20:56.654-03:00"}}"#;

const CARD_AUTHORIZATION: &str = r#"{"product":"cards","event_type":"authorization","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fdd","status":"pending","data":{"card_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz56","bill_amount":100.0,"bill_currency_number":840,"bill_currency_code":"USD","transaction_amount":92.4,"transaction_currency_number":978,"transaction_currency_code":"EUR","exchange_rate":1.0822,"fees":{"atm_fees":0.0,"fx_fees":1.0},"merchant_data":{"id":"420429000200589","name":"ACME BOOKS","city":"MADRID","post_code":null,"state":null}}}"#;

const CARD_DECLINED: &str = r#"{"product":"cards","event_type":"declined","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fdd","status":"success","data":{"card_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz56","bill_amount":100.0,"bill_currency_number":840,"bill_currency_code":"USD","transaction_amount":92.4,"transaction_currency_number":978,"transaction_currency_code":"EUR","exchange_rate":1.0822,"channel":"ECOMMERCE","created_at":"2026-03-02T10:30:01.000Z","fees":{"atm_fees":0.0,"fx_fees":1.0},"merchant_data":{"id":"420429000200589","name":"ACME BOOKS","city":"MADRID","post_code":null,"state":null},"declined_reason":{}}}"#;

const CARD_CLEARING_PENDING: &str = r#"{"product":"cards","event_type":"clearing","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fde","status":"pending","data":{"card_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz56","bill_amount":100.0,"bill_currency_number":840,"bill_currency_code":"USD","transaction_amount":92.4,"transaction_currency_number":978,"transaction_currency_code":"EUR","exchange_rate":1.0822,"channel":"POS","created_at":"2026-03-02T10:31:00.000Z","fees":{"atm_fees":0.0,"fx_fees":1.0},"merchant_data":{"id":"420429000200589","name":"ACME BOOKS","city":"MADRID","post_code":"28001","state":null}}}"#;

const CARD_CLEARING_FAILED: &str = r#"{"product":"cards","event_type":"clearing","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fde","status":"failed","data":{"card_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz56"}}"#;

const CARD_CLEARED: &str = r#"{"product":"cards","event_type":"clearing","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fde","status":"success","data":{"card_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz56"}}"#;

const CARD_REFUND: &str = r#"{"product":"cards","event_type":"refund","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fdf","status":"success","data":{"card_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz56","bill_amount":20.0,"bill_currency_number":840,"bill_currency_code":"USD","transaction_amount":20.0,"transaction_currency_number":840,"transaction_currency_code":"USD","exchange_rate":null,"channel":"POS","created_at":"2026-03-03T09:00:00.000Z","fees":{"atm_fees":0.0,"fx_fees":0.0},"merchant_data":{"id":"420429000200589","name":"ACME BOOKS","city":"MADRID","post_code":null,"state":null}}}"#;

const CARD_REVERSAL: &str = r#"{"product":"cards","event_type":"reversal","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fe0","status":"success","data":{"card_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz56"}}"#;

const CARD_3DS_CHALLENGE: &str = r#"{"product":"cards","event_type":"3ds_challenge","operation_id":"ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fe1","status":"pending","data":{"card_id":"aBcD1efGh2iJkL3mnOpQ4rStUvWxYz56"}}"#;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use super::*;
    use crate::Restored;

    fn deliver(body: &'static str) -> Delivery {
        let stored = Restored::new(body.as_bytes().into(), SystemTime::UNIX_EPOCH);
        Delivery::insecure_restore(Arc::new(cryptomate()), stored)
    }

    #[test]
    fn all_documented_spellings_are_one_event() {
        for body in [
            r#"{"operation":"CARDS","sub_operation":"CLEARING","operation_id":"1","status":"PENDING","data":{}}"#,
            r#"{"product":"CARDS","event_type":"CLEARING","operation_id":"1","status":"PENDING","data":{}}"#,
            r#"{"product":"cards","event_type":"clearing","operation_id":"1","status":"pending","data":{}}"#,
        ] {
            let delivery = deliver(body);
            let event = delivery.event().unwrap();
            assert_eq!(event.event_type(), "cards.clearing.pending");
            assert_eq!(event.id().unwrap(), "cards.clearing.pending:1");
            assert_eq!(event.data(), "{}");
        }
    }

    #[test]
    fn the_events_of_one_operation_have_ids_of_their_own() {
        let pending = deliver(CARD_CLEARING_PENDING);
        let cleared = deliver(CARD_CLEARED);
        let common = Common::of(&pending).unwrap();
        assert_eq!(
            common.operation_id,
            Common::of(&cleared).unwrap().operation_id
        );
        assert_ne!(pending.event().unwrap().id(), cleared.event().unwrap().id());
    }

    #[test]
    fn a_reason_outside_of_the_payload_is_within_reach() {
        let common = Common::of(&deliver(WITHDRAW_FAILED)).unwrap();
        assert_eq!(common.status, "failed");
        assert_eq!(common.reason.unwrap().to_text(), "insufficient funds");
        assert_eq!(common.client_id.unwrap().to_text(), "client_0001");
        assert!(Common::of(&deliver("[]")).is_none());
    }

    #[test]
    fn an_authorization_needs_neither_channel_nor_time() {
        let data = deliver(CARD_AUTHORIZATION);
        let authorization: CardAuthorization =
            serde_json::from_str(data.event().unwrap().data()).unwrap();
        assert_eq!(authorization.bill_amount.as_str(), "100.0");
        assert_eq!(
            authorization.exchange_rate.as_ref().unwrap().as_str(),
            "1.0822"
        );
        assert_eq!(authorization.channel, None);
        assert_eq!(authorization.created_at, None);
    }
}
