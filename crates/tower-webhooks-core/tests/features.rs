//! Without its feature a provider can be described, and the set-up says what is
//! missing.
#![cfg(not(any(
    feature = "ecdsa",
    feature = "ed25519",
    feature = "encryption",
    feature = "inflate",
    feature = "rsa"
)))]

use tower_webhooks_core::{
    Provider, Secrets, SetupError, Verifier,
    provider::{Coding, Compression},
    providers,
};

fn missing(provider: Provider) -> &'static str {
    let secrets = Secrets::new("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----");
    let hex = Secrets::new("00".repeat(32));
    for secrets in [secrets.unwrap(), hex.unwrap()] {
        if let Err(SetupError::FeatureMissing(feature)) = Verifier::new(provider.clone(), &secrets)
        {
            return feature;
        }
    }
    panic!("{} needs no feature", provider.name());
}

#[test]
fn a_missing_feature_is_named_at_set_up() {
    assert_eq!(missing(providers::discord()), "ed25519");
    assert_eq!(missing(providers::sendgrid()), "ecdsa");
    assert_eq!(missing(providers::wechat_pay()), "rsa");
    assert_eq!(missing(providers::lark()), "encryption");
    let compressed = providers::stripe().with_compression(Compression::new([Coding::Gzip]));
    assert_eq!(missing(compressed), "inflate");
}
