//! The parameters of an address: what stands behind its `?`.

use std::str::FromStr;

use embedded_graphics::geometry::{Point, Size};

use super::Rotation;

/// An address names no panel. Every message gives what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It begins with nothing known.
    #[error("{address:?} is no panel; give one of {expected}")]
    UnknownKind {
        /// The address.
        address: String,
        /// What panels begin with.
        expected: &'static str,
    },
    /// What stands before the parameters has not the kind's form.
    #[error("{address}: expected {expected}")]
    Form {
        /// The address.
        address: String,
        /// The form.
        expected: &'static str,
    },
    /// The kind has no such parameter.
    #[error("{address}: unknown parameter {name:?}; known are {known}")]
    UnknownParameter {
        /// The address.
        address: String,
        /// The parameter.
        name: String,
        /// The kind's parameters.
        known: String,
    },
    /// A parameter is given twice.
    #[error("{address}: parameter {name} is given twice; give it once")]
    Repeated {
        /// The address.
        address: String,
        /// The parameter.
        name: String,
    },
    /// A parameter is missing that has no default.
    #[error("{address}: parameter {name} is missing; give {example}")]
    Missing {
        /// The address.
        address: String,
        /// The parameter.
        name: &'static str,
        /// How it looks.
        example: String,
    },
    /// A parameter has a value that it cannot have.
    #[error("{address}: {name}={value}: expected {expected}")]
    Value {
        /// The address.
        address: String,
        /// The parameter.
        name: &'static str,
        /// What it was given.
        value: String,
        /// What it can be.
        expected: String,
    },
}

/// Parameters that were read but not yet understood.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    address: &'a str,
    given: Vec<(&'a str, &'a str)>,
}

impl<'a> Parameters<'a> {
    /// Splits `name=value&name=value`, where each name must be known and unique.
    pub(super) fn read(
        address: &'a str,
        query: Option<&'a str>,
        known: &[&str],
    ) -> Result<Self, AddressError> {
        let mut given: Vec<(&str, &str)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (address, owned) = (address.to_owned(), name.to_owned());
            if !known.contains(&name) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(AddressError::UnknownParameter { address, name: owned, known });
            }
            if given.iter().any(|&(earlier, _)| earlier == name) {
                return Err(AddressError::Repeated { address, name: owned });
            }
            given.push((name, value));
        }
        Ok(Self { address, given })
    }

    /// Gives a parameter as text.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.given.iter().find(|&&(given, _)| given == name).map(|&(_, value)| value)
    }

    /// Makes the error for a parameter that must be there.
    pub(super) fn missing(&self, name: &'static str, example: &str) -> AddressError {
        AddressError::Missing {
            address: self.address.to_owned(),
            name,
            example: example.to_owned(),
        }
    }

    /// Reads a parameter by a rule; a value that the rule refuses is an error that tells what is expected.
    pub(super) fn read_by<T>(
        &self,
        name: &'static str,
        expected: impl Into<String>,
        rule: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, AddressError> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let wrong = || self.wrong(name, value, expected.into());
        rule(value).ok_or_else(wrong).map(Some)
    }

    /// Makes the error for a wrong value.
    pub(super) fn wrong(&self, name: &'static str, value: &str, expected: String) -> AddressError {
        AddressError::Value {
            address: self.address.to_owned(),
            name,
            value: value.to_owned(),
            expected,
        }
    }

    /// Reads a parameter by its type's own rule, which says in its error what it expects.
    pub(super) fn parsed<T>(&self, name: &'static str) -> Result<Option<T>, AddressError>
    where
        T: FromStr,
        T::Err: ToString,
    {
        let Some(value) = self.text(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|error: T::Err| self.wrong(name, value, error.to_string()))
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, AddressError> {
        self.read_by(name, "true or false", |value| value.parse().ok())
    }

    pub(super) fn rotation(&self) -> Result<Rotation, AddressError> {
        let rule = |value: &str| Rotation::ALL.into_iter().find(|turn| turn.to_string() == value);
        Ok(self.read_by("rotate", "0, 90, 180 or 270", rule)?.unwrap_or_default())
    }

    pub(super) fn size(&self, expected: &str) -> Result<Option<Size>, AddressError> {
        self.read_by("size", expected, read_size)
    }

    pub(super) fn offset(&self) -> Result<Option<Point>, AddressError> {
        self.read_by("offset", "COLUMN,ROW as in 52,40", |value| {
            let (x, y) = value.split_once(',')?;
            let number = |text: &str| text.parse::<u16>().ok().map(i32::from);
            Some(Point::new(number(x)?, number(y)?))
        })
    }
}

/// No screen is larger: what is drawn is held in memory, some ten bytes a pixel.
const LARGEST_SIDE: u32 = 8192;

/// Reads `WIDTHxHEIGHT`, both from 1 to 8192.
pub(crate) fn read_size(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| {
        let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|side| all_digits && (1..=LARGEST_SIDE).contains(side))
    };
    Some(Size::new(side(width)?, side(height)?))
}
