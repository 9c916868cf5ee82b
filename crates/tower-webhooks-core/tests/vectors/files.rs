//! Where the vectors lie and what they look like.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};

/// One request and what becomes of it.
#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) id: String,
    pub(crate) provider: String,
    pub(crate) secret: Secret,
    pub(crate) secret_encoding: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) method: String,
    pub(crate) url: Option<String>,
    body: String,
    body_encoding: BodyEncoding,
    /// Unix seconds; nothing where the time is not checked.
    pub(crate) now: Option<u64>,
    pub(crate) tolerance: Option<u64>,
    pub(crate) params: serde_json::Value,
    expect: Expect,
    recommend: Option<Expect>,
    pub(crate) why: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Secret {
    One(String),
    Rotation(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum BodyEncoding {
    Base64,
    Utf8,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Expect {
    Invalid,
    Valid,
}

impl Vector {
    pub(crate) fn secrets(&self) -> Vec<&str> {
        match &self.secret {
            Secret::One(secret) => vec![secret],
            Secret::Rotation(secrets) => secrets.iter().map(String::as_str).collect(),
        }
    }

    pub(crate) fn body(&self) -> Bytes {
        match self.body_encoding {
            BodyEncoding::Utf8 => Bytes::copy_from_slice(self.body.as_bytes()),
            BodyEncoding::Base64 => bytes_of_base64(&self.body),
        }
    }

    /// What a strict receiver decides.
    pub(crate) fn expected(&self) -> Expect {
        self.recommend.unwrap_or(self.expect)
    }

    /// Whether the provider's own library accepts what a strict receiver
    /// refuses.
    pub(crate) fn is_stricter_than_upstream(&self) -> bool {
        self.expect == Expect::Valid && self.recommend == Some(Expect::Invalid)
    }
}

pub(crate) fn bytes_of_base64(text: &str) -> Bytes {
    general_purpose::STANDARD.decode(text).unwrap().into()
}

#[derive(Deserialize)]
struct File<V> {
    count: usize,
    #[serde(alias = "cases")]
    vectors: Vec<V>,
}

/// The vectors of one file, all that it says it has.
pub(crate) fn read<V: DeserializeOwned>(name: &str) -> Vec<V> {
    let path = folder().join(name).with_extension("json");
    let text =
        fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let file: File<V> = serde_json::from_slice(&text)
        .unwrap_or_else(|error| panic!("cannot parse {}: {error}", path.display()));
    assert_eq!(file.vectors.len(), file.count, "{name}");
    file.vectors
}

/// The names of all files, without their extension.
pub(crate) fn names() -> BTreeSet<String> {
    let folder = folder();
    fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn folder() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = env::var_os("TOWER_WEBHOOKS_VECTORS");
    workspace.join(named.unwrap_or_else(|| "../shared/vectors".into()))
}
