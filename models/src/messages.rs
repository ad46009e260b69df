//! One line about what went wrong, as both programs tell it: in the words of the command line and of files, not in those
//! of the language that they are written in.

use std::error::Error;

/// Joins an error and its causes with colons; a cause that is part of what was told before is left out.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

/// What parsers say of a value, and what is told instead.
const VALUES: [(&str, &str); 15] = [
    ("invalid digit found in string", "give a whole number"),
    ("cannot parse integer from empty string", "give a whole number"),
    ("number too large to fit in target type", "it is too large"),
    ("number too small to fit in target type", "it is too small"),
    ("invalid float literal", "give a number"),
    ("cannot parse float from empty string", "give a number"),
    ("expected u8", "expected a whole number from 0 to 255"),
    ("expected u16", "expected a whole number from 0 to 65535"),
    ("expected u32", "expected a whole number from 0 to 4294967295"),
    ("expected u64", "expected a whole number, 0 or more"),
    ("expected usize", "expected a whole number, 0 or more"),
    ("expected f32", "expected a number"),
    ("expected f64", "expected a number"),
    ("expected a sequence", "expected a list, as in [\"one\", \"two\"]"),
    ("invalid type: sequence, expected", "invalid type: list, expected"),
];

/// Replaces what a parser of arguments or of TOML says about a value by what should be given.
#[must_use]
pub fn in_plain_words(message: &str) -> String {
    let text =
        VALUES.iter().fold(message.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours));
    within_range(&text).unwrap_or(text)
}

/// Rewrites `…: 0 is not in 1..=256`.
fn within_range(text: &str) -> Option<String> {
    let (before, range) = text.rsplit_once(" is not in ")?;
    let (rest, _) = before.rsplit_once(": ")?;
    let (low, high) = range.split_once("..")?;
    let high = high.trim_start_matches('=');
    // A range without an end has that of its type.
    let is_open = high.is_empty() || high == u64::MAX.to_string();
    let range = if is_open { format!("{low} or more") } else { format!("{low} to {high}") };
    Some(format!("{rest}: give {range}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        #[source]
        cause: Option<Box<Told>>,
    }

    fn chain(texts: &[&'static str]) -> Told {
        let cause = (texts.len() > 1).then(|| Box::new(chain(&texts[1..])));
        Told { text: texts[0], cause }
    }

    #[test]
    fn a_cause_is_told_once() {
        for (texts, expected) in [
            (&["a"][..], "a"),
            (&["cannot read x (no file)", "no file"], "cannot read x (no file)"),
            (&["loading", "cannot read x: no file", "no file"], "loading: cannot read x: no file"),
            (&["a", "b", "c"], "a: b: c"),
        ] {
            assert_eq!(with_causes(&chain(texts)), expected);
        }
    }

    #[test]
    fn values_are_told_of_in_plain_words() {
        for (theirs, ours) in [
            (
                "invalid value 'x' for '--frames <N>': invalid digit found in string",
                "invalid value 'x' for '--frames <N>': give a whole number",
            ),
            (
                "invalid value '0' for '--frames <N>': 0 is not in 1..18446744073709551615",
                "invalid value '0' for '--frames <N>': give 1 or more",
            ),
            (
                "invalid value '0' for '--threads <N>': 0 is not in 1..=256",
                "invalid value '0' for '--threads <N>': give 1 to 256",
            ),
            (
                "invalid type: floating point `2.5`, expected u16",
                "invalid type: floating point `2.5`, expected a whole number from 0 to 65535",
            ),
            (
                "invalid type: string \"null:\", expected a sequence",
                "invalid type: string \"null:\", expected a list, as in [\"one\", \"two\"]",
            ),
            ("unknown field `inptu`", "unknown field `inptu`"),
        ] {
            assert_eq!(in_plain_words(theirs), ours);
        }
        // What is replaced is what the language says today.
        for error in [
            "x".parse::<u16>().unwrap_err().to_string(),
            "".parse::<u16>().unwrap_err().to_string(),
            "70000".parse::<u16>().unwrap_err().to_string(),
            "-300".parse::<i8>().unwrap_err().to_string(),
            "x".parse::<f32>().unwrap_err().to_string(),
            "".parse::<f32>().unwrap_err().to_string(),
        ] {
            assert_ne!(in_plain_words(&error), error);
        }
    }
}
