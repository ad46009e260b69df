//! Classes and their names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The 0-based position of a class among a classifier's logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassIndex(pub usize);

impl fmt::Display for ClassIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The names of a classifier's classes, in the order of its logits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(Vec<String>);

/// A class that was asked for by name or number does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassError {
    /// A number outside of the classifier's classes.
    #[error("class {index} does not exist: the model has {count} classes, 0 to {}", .count - 1)]
    OutOfRange {
        /// The number that was asked for.
        index: usize,
        /// How many classes there are.
        count: usize,
    },
    /// A name that no label bears.
    #[error("no class is called {name:?}{}", suggestion(.nearest))]
    UnknownName {
        /// The name that was asked for.
        name: String,
        /// Labels that contain the name.
        nearest: Vec<String>,
    },
}

fn suggestion(nearest: &[String]) -> String {
    match nearest {
        [] => "; give a class's number or its whole label".to_owned(),
        _ => format!("; did you mean {}?", nearest.join(" or ")),
    }
}

impl Labels {
    /// Takes the names in the order of the logits.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Reads one label a line; blank lines at the end are ignored.
    #[must_use]
    pub fn from_lines(text: &str) -> Self {
        Self(text.trim_end().lines().map(|line| line.trim().to_owned()).collect())
    }

    /// Names `count` classes by their numbers: `class 0`, `class 1` and so on.
    #[must_use]
    pub fn numbered(count: usize) -> Self {
        Self((0..count).map(|index| format!("class {index}")).collect())
    }

    /// Counts the classes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there is no class at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives the name of a class, or `?` for one that does not exist.
    #[must_use]
    pub fn label(&self, class: ClassIndex) -> &str {
        self.0.get(class.0).map_or("?", String::as_str)
    }

    /// Gives a class's first name: ImageNet's labels list synonyms behind commas.
    #[must_use]
    pub fn short_label(&self, class: ClassIndex) -> &str {
        first_name(self.label(class))
    }

    /// Iterates over the names in the order of the logits.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Finds a class by its number, its whole label or one of the label's comma-separated names,
    /// whatever the case. Of several classes with that name the first is taken.
    ///
    /// # Errors
    /// Returns [`ClassError`] for a number out of range or a name that no label bears.
    pub fn find(&self, wanted: &str) -> Result<ClassIndex, ClassError> {
        let wanted = wanted.trim();
        if let Ok(index) = wanted.parse::<usize>() {
            return if index < self.len() {
                Ok(ClassIndex(index))
            } else {
                Err(ClassError::OutOfRange { index, count: self.len() })
            };
        }
        let is_named = |label: &str| {
            label.eq_ignore_ascii_case(wanted)
                || label.split(',').any(|name| name.trim().eq_ignore_ascii_case(wanted))
        };
        if let Some(index) = self.0.iter().position(|label| is_named(label)) {
            return Ok(ClassIndex(index));
        }
        let lower = wanted.to_lowercase();
        let nearest = self
            .iter()
            .filter(|label| !lower.is_empty() && label.to_lowercase().contains(&lower))
            .take(3)
            .map(|label| format!("{:?}", first_name(label)))
            .collect();
        Err(ClassError::UnknownName { name: wanted.to_owned(), nearest })
    }
}

fn first_name(label: &str) -> &str {
    label.split(',').next().unwrap_or(label).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels::from_lines("tench, Tinca tinca\ntabby, tabby cat\nEgyptian cat\n\n")
    }

    #[test]
    fn finds_a_class_by_number_label_or_synonym() {
        for (wanted, index) in
            [("1", 1), ("tabby, tabby cat", 1), ("TABBY CAT", 1), (" egyptian cat ", 2)]
        {
            assert_eq!(labels().find(wanted), Ok(ClassIndex(index)), "{wanted}");
        }
    }

    #[test]
    fn says_what_is_near_an_unknown_name() {
        let message = labels().find("cat").unwrap_err().to_string();
        assert_eq!(message, r#"no class is called "cat"; did you mean "tabby" or "Egyptian cat"?"#);
        assert!(labels().find("3").unwrap_err().to_string().contains("3 classes, 0 to 2"));
        assert!(labels().find("").is_err());
    }

    #[test]
    fn shortens_a_label_to_its_first_name() {
        assert_eq!(labels().short_label(ClassIndex(0)), "tench");
        assert_eq!(labels().label(ClassIndex(9)), "?");
    }
}
