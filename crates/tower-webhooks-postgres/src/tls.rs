//! Encrypted connections: what the URL asks for, with rustls.

use std::{path::PathBuf, str::FromStr, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{OpenError, OpenErrorKind};

/// Makes encrypted connections. Clones share their settings.
#[derive(Clone)]
pub(crate) struct Tls(MakeRustlsConnect);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// What a URL says.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) config: tokio_postgres::Config,
    /// The inbox's schema, if the URL names one.
    pub(crate) schema: Option<String>,
    /// Whether to notify and to listen.
    pub(crate) notify: bool,
    trust: Trust,
}

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trust {
    /// Anybody's: against who listens, not against who pretends to be the server.
    Anyone,
    File(PathBuf),
    System,
}

impl Place {
    /// Reads a URL, or libpq's `key=value` form. `schema`, `notify`,
    /// `sslmode=verify-full` and `sslrootcert` are read here, since the driver knows none
    /// of them.
    pub(crate) fn parse(url: &str) -> Result<Self, OpenError> {
        let wrong = |why: String| OpenError::new(OpenErrorKind::Url, why);
        let (mut verify, mut any_session) = (false, true);
        let (mut file, mut schema, mut notify) = (None, None, None);
        let kept = without_ours(url, |key, value| match (key, value) {
            ("schema", name) => {
                schema = Some(name.to_owned());
                Some(String::new())
            }
            ("notify", word) => {
                notify = Some(word.to_owned());
                Some(String::new())
            }
            ("sslmode", "verify-full") => {
                verify = true;
                Some("sslmode=require".to_owned())
            }
            ("sslrootcert", "system") => Some(String::new()),
            ("sslrootcert", path) => {
                file = Some(PathBuf::from(path));
                Some(String::new())
            }
            ("target_session_attrs", _) => {
                any_session = false;
                None
            }
            _ => None,
        });
        let mut config = tokio_postgres::Config::from_str(&kept).map_err(|error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            wrong(format!(
                "the PostgreSQL URL cannot be used: {}",
                why.unwrap_or_else(|| error.to_string())
            ))
        })?;
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        if any_session && hosts > 1 {
            // Of several, the one that an inbox can write to.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let notify = match notify.as_deref() {
            None | Some("on") => true,
            Some("off") => false,
            Some(other) => return Err(wrong(format!("notify is `on` or `off`, not `{other}`"))),
        };
        let trust = match (config.get_ssl_mode(), file) {
            (_, Some(path)) => Trust::File(path),
            (SslMode::Require, None) => Trust::System,
            (_, None) if verify => Trust::System,
            // Whoever can pretend to be the server can also say that it has no TLS.
            (_, None) => Trust::Anyone,
        };
        Ok(Self {
            config,
            schema,
            notify,
            trust,
        })
    }

    /// Encrypts, and believes any certificate.
    pub(crate) fn trust_anyone(&mut self) {
        self.config.ssl_mode(SslMode::Require);
        self.trust = Trust::Anyone;
    }

    pub(crate) fn tls(&self) -> Result<Tls, OpenError> {
        let provider = Arc::new(ring::default_provider());
        let wrong = |why: String| OpenError::new(OpenErrorKind::Url, why);
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(format!("no TLS: {error}")))?;
        let client = match &self.trust {
            Trust::Anyone => client
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified(provider))),
            Trust::File(path) => {
                let mut roots = RootCertStore::empty();
                let read = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| wrong(format!("sslrootcert {}: {error}", path.display())))?;
                let (added, _) = roots.add_parsable_certificates(read);
                if added == 0 {
                    let path = path.display();
                    return Err(wrong(format!("sslrootcert {path} has no certificate")));
                }
                client.with_root_certificates(roots)
            }
            Trust::System => {
                let mut roots = RootCertStore::empty();
                let found = rustls_native_certs::load_native_certs();
                let (added, _) = roots.add_parsable_certificates(found.certs);
                if added == 0 {
                    return Err(wrong(
                        "this system has no root certificates: name a file with sslrootcert"
                            .to_owned(),
                    ));
                }
                client.with_root_certificates(roots)
            }
        };
        let tls = MakeRustlsConnect::new(client.with_no_client_auth());
        Ok(Tls(tls))
    }
}

impl<S> tokio_postgres::tls::MakeTlsConnect<S> for Tls
where
    MakeRustlsConnect: tokio_postgres::tls::MakeTlsConnect<S>,
{
    type Stream = <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<S>>::Stream;
    type TlsConnect = <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<S>>::TlsConnect;
    type Error = <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<S>>::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        tokio_postgres::tls::MakeTlsConnect::<S>::make_tls_connect(&mut self.0, domain)
    }
}

/// The text with some of its settings replaced; an empty replacement drops one.
fn without_ours(text: &str, mut replace: impl FnMut(&str, &str) -> Option<String>) -> String {
    let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
    if !is_url {
        let kept = settings(text).into_iter().map(|(setting, key, value)| {
            replace(key, &value).unwrap_or_else(|| setting.to_owned())
        });
        return joined(kept, " ");
    }
    let Some((head, query)) = text.split_once('?') else {
        return text.to_owned();
    };
    let kept = query.split('&').map(|setting| {
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        replace(&decoded(key), &decoded(value)).unwrap_or_else(|| setting.to_owned())
    });
    match joined(kept, "&") {
        kept if kept.is_empty() => head.to_owned(),
        kept => format!("{head}?{kept}"),
    }
}

fn joined(settings: impl Iterator<Item = String>, between: &str) -> String {
    let kept: Vec<String> = settings.filter(|setting| !setting.is_empty()).collect();
    kept.join(between)
}

/// The settings of libpq's `key=value` form: the whole text of each, its key, and its
/// value without quotes and backslashes. What has no value is left to the driver.
fn settings(text: &str) -> Vec<(&str, &str, String)> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((key, after)) = rest.split_once('=') else {
            all.push((rest, "", String::new()));
            break;
        };
        let (value, next) = value_of(after.trim_start());
        let length = rest.len().saturating_sub(next.len());
        all.push((rest.get(..length).unwrap_or(rest), key.trim_end(), value));
        rest = next.trim_start();
    }
    all
}

/// The value that a text begins with, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut value = String::new();
    let mut letters = text.chars();
    loop {
        let here = letters.as_str();
        match letters.next() {
            None => return (value, ""),
            Some('\'') if quoted => return (value, letters.as_str()),
            Some(letter) if !quoted && letter.is_whitespace() => return (value, here),
            Some('\\') => value.extend(letters.next()),
            Some(letter) => value.push(letter),
        }
    }
}

/// A part of a URL, its `%xx` decoded, as the driver does with those that it knows.
fn decoded(part: &str) -> String {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.extend(u8::try_from(high * 16 + low));
                rest = ahead;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Believes any certificate, but not that the server has no key for it.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(url: &str) -> (SslMode, Trust) {
        let place = Place::parse(url).unwrap();
        (place.config.get_ssl_mode(), place.trust)
    }

    #[test]
    fn the_url_decides_whether_to_encrypt_and_whom_to_believe() {
        let file = || Trust::File("/ca.pem".into());
        for (settings, mode, expected) in [
            ("", SslMode::Prefer, Trust::Anyone),
            ("?sslmode=disable", SslMode::Disable, Trust::Anyone),
            ("?sslmode=prefer", SslMode::Prefer, Trust::Anyone),
            ("?sslmode=require", SslMode::Require, Trust::System),
            ("?sslmode=verify-full", SslMode::Require, Trust::System),
            (
                "?sslrootcert=system&sslmode=require",
                SslMode::Require,
                Trust::System,
            ),
            (
                "?sslmode=require&sslrootcert=/ca.pem",
                SslMode::Require,
                file(),
            ),
            ("?sslrootcert=/ca.pem", SslMode::Prefer, file()),
        ] {
            let url = format!("postgres://me@db/hooks{settings}");
            assert_eq!(trust(&url), (mode, expected), "{url}");
        }
        assert_eq!(
            trust("host=db user=me sslmode=verify-full sslrootcert=/ca.pem"),
            (SslMode::Require, file())
        );
    }

    #[test]
    fn the_url_may_name_the_inboxs_schema() {
        let schema = |url| Place::parse(url).unwrap().schema;
        assert_eq!(schema("postgres://db/hooks"), None);
        assert_eq!(
            schema("postgres://db/hooks?schema=acme&connect_timeout=2").as_deref(),
            Some("acme")
        );
        assert_eq!(schema("host=db schema=acme").as_deref(), Some("acme"));
    }

    #[test]
    fn the_url_may_say_that_nobody_listens() {
        let notify = |settings| {
            let place = Place::parse(&format!("postgres://db/hooks{settings}"));
            place
                .map(|place| place.notify)
                .map_err(|error| error.to_string())
        };
        assert_eq!(notify(""), Ok(true));
        assert_eq!(notify("?notify=on"), Ok(true));
        assert_eq!(notify("?connect_timeout=2&notify=off"), Ok(false));
        let refused = "notify is `on` or `off`, not `no`";
        assert_eq!(notify("?notify=no"), Err(refused.to_owned()));
    }

    #[test]
    fn a_path_may_have_any_letter_in_either_form() {
        let file = |path: &str| (SslMode::Require, Trust::File(path.into()));
        for (text, path) in [
            (
                "postgres://me@db/hooks?sslmode=verify-full&sslrootcert=%2Fetc%2Four%20ca.pem",
                "/etc/our ca.pem",
            ),
            (
                "postgres://me@db/hooks?sslrootcert=/100%/c%C3%A4.pem&sslmode=require",
                "/100%/cä.pem",
            ),
            (
                r"host=db sslmode = verify-full sslrootcert='/etc/our ca.pem' user=me",
                "/etc/our ca.pem",
            ),
            (
                r"sslrootcert='/it\'s\\here' host=db sslmode=require",
                r"/it's\here",
            ),
            (
                r"host=db sslrootcert=/our\ ca.pem sslmode=require",
                "/our ca.pem",
            ),
        ] {
            assert_eq!(trust(text), file(path), "{text}");
        }
    }

    #[test]
    fn what_stands_in_quotes_is_no_setting() {
        let place = Place::parse(
            r"host=db password='a b schema=other\' notify=off' application_name='my shop' schema=acme",
        );
        let place = place.unwrap();
        assert_eq!(place.schema.as_deref(), Some("acme"));
        assert!(place.notify);
        let password = place.config.get_password().unwrap();
        assert_eq!(password, b"a b schema=other' notify=off");
        assert_eq!(place.config.get_application_name(), Some("my shop"));
    }

    #[test]
    fn of_several_hosts_the_one_that_takes_writes_is_meant() {
        let session = |text: &str| {
            let place = Place::parse(text).unwrap();
            place.config.get_target_session_attrs()
        };
        for (text, expected) in [
            ("postgres://a,b/hooks", TargetSessionAttrs::ReadWrite),
            ("host=a,b", TargetSessionAttrs::ReadWrite),
            (
                "postgres://a,b/hooks?target_session_attrs=any",
                TargetSessionAttrs::Any,
            ),
            ("postgres://a/hooks", TargetSessionAttrs::Any),
        ] {
            assert_eq!(session(text), expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_password() {
        for url in [
            "postgres://me:pa55@db/hooks?sslmode=verify-ca",
            "mysql://me:pa55@db",
        ] {
            let error = Place::parse(url).unwrap_err();
            assert_eq!(error.kind(), OpenErrorKind::Url);
            assert!(!error.to_string().contains("pa55"), "{error}");
        }
    }
}
