//! Another provider.

use std::sync::Arc;

use super::Change;
use crate::{
    explain::{Cause, case::Case},
    providers,
};

pub(super) fn changes<'c>(case: &Case) -> Vec<Change<'c>> {
    providers::all()
        .into_iter()
        .filter(|preset| preset.scheme() != case.provider.scheme())
        .map(|preset| {
            let advice = format!(
                "the request is signed as {} does: the preset is {}",
                preset.title(),
                preset.name()
            );
            let preset = Arc::new(preset);
            Change::new(Cause::OtherPreset, advice, move |case| {
                Some(Case {
                    provider: Arc::clone(&preset),
                    ..case.clone()
                })
            })
        })
        .collect()
}
