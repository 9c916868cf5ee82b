use std::{fs, path::Path, sync::Arc};

use tower_webhooks_core::{Provider, providers};

use crate::words::nearest;

/// Who sends.
#[derive(Debug, clap::Args)]
pub(crate) struct ProviderArg {
    /// Who sends: a preset's name, or a description of your own in TOML or JSON
    #[arg(short, long, value_name = "NAME|FILE", value_parser = load)]
    pub(crate) provider: Arc<Provider>,
}

/// The preset of that name, or the description in that file. A name has
/// neither a path's separator nor a file's ending.
pub(crate) fn load(text: &str) -> Result<Arc<Provider>, String> {
    let path = Path::new(text);
    let provider = match ending(path) {
        Some(Form::Json) => read(path, from_json),
        Some(Form::Toml) => read(path, from_toml),
        None if text.contains(['/', '\\']) => {
            Err("a description's file ends in .toml or .json".to_owned())
        }
        None => preset(text),
    };
    provider.map(Arc::new)
}

enum Form {
    Json,
    Toml,
}

fn ending(path: &Path) -> Option<Form> {
    let ending = path.extension()?;
    if ending.eq_ignore_ascii_case("toml") {
        Some(Form::Toml)
    } else if ending.eq_ignore_ascii_case("json") {
        Some(Form::Json)
    } else {
        None
    }
}

fn preset(name: &str) -> Result<Provider, String> {
    providers::find(name).ok_or_else(|| {
        let all = providers::all();
        let names = || all.iter().map(|provider| provider.name().as_str());
        match nearest(&name.to_lowercase(), names()) {
            Some(near) => format!("there is no such preset; did you mean {near}?"),
            None => {
                let names: Vec<_> = names().collect();
                let names = names.join(", ");
                format!("there is no such preset: use one of {names}, or a file of your own")
            }
        }
    })
}

fn read(path: &Path, parse: fn(&str) -> Result<Provider, String>) -> Result<Provider, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("it cannot be read: {error}"))?;
    parse(&text)
}

fn from_json(text: &str) -> Result<Provider, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn from_toml(text: &str) -> Result<Provider, String> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        match before {
            Some(before) => {
                let line = before.matches('\n').count() + 1;
                format!("{} at line {line}", error.message())
            }
            None => error.message().to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_is_found_by_its_name_and_a_near_one_suggested() {
        assert_eq!(load("mppcash").unwrap().name(), "mppcash");
        let error = load("MPCash").unwrap_err();
        assert_eq!(error, "there is no such preset; did you mean mppcash?");
        assert!(load("qqq").unwrap_err().contains("cryptomate, devdraft"));
    }

    #[test]
    fn a_mistake_in_a_file_names_its_line() {
        let error = from_toml("name = \"acme\"\n\nnonsense = 1\n").unwrap_err();
        assert!(error.ends_with("at line 3"), "{error}");
        let error = from_json("{\n\"name\": 7}").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_path_needs_an_ending_that_says_its_form() {
        assert!(load("./acme").unwrap_err().contains(".toml or .json"));
        assert!(
            load("nowhere/acme.TOML")
                .unwrap_err()
                .contains("cannot be read")
        );
    }
}
