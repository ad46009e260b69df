//! TOML that people write: what is wrong with it is told in one line, with its place.

use lcam_models::messages::in_plain_words;
use serde::de::DeserializeOwned;

/// Reads TOML.
///
/// # Errors
/// Returns the line, as far as it is known, and what is wrong there.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let words: Vec<&str> = error.message().split_whitespace().collect();
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| format!("line {}: ", before.matches('\n').count() + 1));
        format!("{}{}", line.unwrap_or_default(), in_plain_words(&words.join(" ")))
    })
}
