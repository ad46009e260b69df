//! Commands as JSON.

use lcam_models::class::ClassIndex;
use serde::Deserialize;

use crate::control::{Command, DisplayMode};

/// What is sent to `/command`.
#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
enum Wish {
    Freeze,
    NextMode,
    Mode { mode: DisplayMode },
    Snapshot,
    NextClass,
    Explain { class: Option<ClassIndex> },
}

/// Reads a command; gives what is wrong with it in one line.
pub(super) fn parse(body: &[u8], classes: usize) -> Result<Command, String> {
    let wish = serde_json::from_slice(body).map_err(|error| {
        format!("no command: {error}; send {{\"command\": \"freeze\"}}, next-mode, mode, snapshot, next-class or explain")
    })?;
    Ok(match wish {
        Wish::Freeze => Command::Freeze,
        Wish::NextMode => Command::NextMode,
        Wish::Mode { mode } => Command::Mode(mode),
        Wish::Snapshot => Command::Snapshot,
        Wish::NextClass => Command::NextClass,
        Wish::Explain { class: Some(ClassIndex(class)) } if class >= classes => {
            return Err(format!("class {class} does not exist: the model has {classes}"));
        }
        Wish::Explain { class } => Command::Explain(class),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_command() {
        for (text, expected) in [
            (r#"{"command":"freeze"}"#, Command::Freeze),
            (r#"{"command":"next-mode"}"#, Command::NextMode),
            (r#"{"command":"mode","mode":"side-by-side"}"#, Command::Mode(DisplayMode::SideBySide)),
            (r#"{"command":"snapshot"}"#, Command::Snapshot),
            (r#"{"command":"next-class"}"#, Command::NextClass),
            (r#"{"command":"explain","class":9}"#, Command::Explain(Some(ClassIndex(9)))),
            (r#"{"command":"explain","class":null}"#, Command::Explain(None)),
        ] {
            assert_eq!(parse(text.as_bytes(), 10), Ok(expected), "{text}");
        }
    }

    #[test]
    fn says_what_is_no_command() {
        for (text, expected) in [
            ("", "no command"),
            ("[]", "no command"),
            (r#"{"command":"reboot"}"#, "unknown variant `reboot`"),
            (r#"{"command":"mode"}"#, "missing field `mode`"),
            (r#"{"command":"mode","mode":"glow"}"#, "unknown variant `glow`"),
            (r#"{"command":"explain","class":-1}"#, "no command"),
            (r#"{"command":"explain","klass":1}"#, "unknown field"),
            (r#"{"command":"explain","class":10}"#, "the model has 10"),
        ] {
            let error = parse(text.as_bytes(), 10).unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
