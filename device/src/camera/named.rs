//! Values that have a name each: options as they are written.

use std::fmt;

/// A value that is written by its name.
pub(super) trait Named: Copy + PartialEq + 'static {
    /// All values with their names.
    const NAMES: &'static [(Self, &'static str)];

    /// Looks a value up by its name.
    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|&(value, _)| value)
    }

    /// Writes the name.
    fn write_name(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            Self::NAMES.iter().find(|(value, _)| *value == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}
