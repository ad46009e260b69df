//! Boards: how known hardware is wired, as data.
//!
//! A board file names the panel by its address, in the same words as the command line, and the buttons beside it. The
//! files of common HATs and wirings are part of the program ([`SHIPPED`]); a user's own file is named by its path.
//!
//! A file is checked as a whole when it is read: every word must be known, the address must name one panel, and no line
//! may be used twice. Whether the hardware is there shows when it is opened.

use std::path::PathBuf;
use std::{fmt, io};

use serde::Deserialize;

use crate::buttons::{ButtonWiring, LONGEST_DEBOUNCE_MS};
use crate::gpio::LineAddress;
use crate::panel::{AddressError, PanelAddress};
use crate::{small_file, toml_text};

/// The board files that are part of the program, by name.
pub const SHIPPED: [(&str, &str); 9] = [
    ("adafruit-bonnet-13", include_str!("../boards/adafruit-bonnet-13.toml")),
    ("adafruit-pitft-28", include_str!("../boards/adafruit-pitft-28.toml")),
    ("jetson-orin-nano-ili9341", include_str!("../boards/jetson-orin-nano-ili9341.toml")),
    ("pi-ili9341", include_str!("../boards/pi-ili9341.toml")),
    ("pi-ssd1306", include_str!("../boards/pi-ssd1306.toml")),
    ("pimoroni-breakout-13", include_str!("../boards/pimoroni-breakout-13.toml")),
    ("pimoroni-display-hat-mini", include_str!("../boards/pimoroni-display-hat-mini.toml")),
    ("waveshare-lcd-128", include_str!("../boards/waveshare-lcd-128.toml")),
    ("waveshare-lcd-hat-13", include_str!("../boards/waveshare-lcd-hat-13.toml")),
];

/// Which board is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardReference {
    /// One of [`SHIPPED`], by name.
    Shipped(String),
    /// A user's own file.
    File(PathBuf),
}

impl BoardReference {
    /// Reads a name or an absolute path; `None` of others.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::File(PathBuf::from(text)));
        }
        let is_name = !text.is_empty() && !text.contains('/');
        is_name.then(|| Self::Shipped(text.to_owned()))
    }

    /// Reads the board's file and checks it.
    ///
    /// # Errors
    /// Returns [`BoardError`] for a board that is not known and a file that cannot be used.
    pub fn read_board(&self) -> Result<Board, BoardError> {
        match self {
            Self::Shipped(name) => {
                let found = SHIPPED.iter().find(|(known, _)| known == name);
                let (_, text) = found.ok_or_else(|| BoardError::Unknown {
                    board: name.clone(),
                    known: SHIPPED.map(|(name, _)| name).join(", "),
                })?;
                Board::parse(&self.to_string(), text)
            }
            Self::File(path) => {
                let text = small_file::read(path)
                    .map_err(|source| BoardError::Read { path: path.clone(), source })?;
                Board::parse(&self.to_string(), &text)
            }
        }
    }
}

impl fmt::Display for BoardReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped(name) => write!(f, "board://{name}"),
            Self::File(path) => write!(f, "board://{}", path.display()),
        }
    }
}

/// A board cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoardError {
    /// No such board is part of the program.
    #[error("board {board:?} is not known; give one of {known}, or board:///path/of/your.toml")]
    Unknown {
        /// The board.
        board: String,
        /// The names of those that are.
        known: String,
    },
    /// The file cannot be read.
    #[error("board file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not of the form.
    #[error("{board}: {problem}")]
    Form {
        /// The board.
        board: String,
        /// Where and what, with what was expected.
        problem: String,
    },
    /// The panel's address names none.
    #[error("{board}: panel: {problem}")]
    Panel {
        /// The board.
        board: String,
        /// What is wrong with the address.
        problem: AddressError,
    },
    /// A value cannot be.
    #[error("{board}: {field}: expected {expected}")]
    Value {
        /// The board.
        board: String,
        /// The field, or the fields together.
        field: String,
        /// What it can be.
        expected: String,
    },
}

/// A board as its file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BoardFile {
    description: String,
    panel: String,
    #[serde(default, rename = "button")]
    buttons: Vec<ButtonWiring>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    sources: Vec<String>,
}

/// A board that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    description: String,
    panel: PanelAddress,
    buttons: Vec<ButtonWiring>,
    notes: Vec<String>,
    sources: Vec<String>,
}

impl Board {
    /// Reads a board file's text; `board` is what errors call it.
    ///
    /// # Errors
    /// Returns [`BoardError`] for text that is no board file or contradicts itself.
    pub fn parse(board: &str, text: &str) -> Result<Self, BoardError> {
        let file: BoardFile = toml_text::parse(text)
            .map_err(|problem| BoardError::Form { board: board.to_owned(), problem })?;
        let panel: PanelAddress = file
            .panel
            .parse()
            .map_err(|problem| BoardError::Panel { board: board.to_owned(), problem })?;
        let wrong = |field: &str, expected: &str| BoardError::Value {
            board: board.to_owned(),
            field: field.to_owned(),
            expected: expected.to_owned(),
        };
        if matches!(panel, PanelAddress::Board(_)) {
            return Err(wrong("panel", "a panel of its own, not another board"));
        }
        if file.description.trim().is_empty() {
            return Err(wrong("description", "what the board is, in a line"));
        }
        if file.buttons.iter().any(|button| button.debounce_ms > LONGEST_DEBOUNCE_MS) {
            let expected = format!("at most {LONGEST_DEBOUNCE_MS}");
            return Err(wrong("button: debounce-ms", &expected));
        }
        if let Some(line) = used_twice(&panel, &file.buttons) {
            return Err(wrong(&format!("line {line}"), "one use of each line"));
        }
        let BoardFile { description, buttons, notes, sources, .. } = file;
        Ok(Self { description, panel, buttons, notes, sources })
    }

    /// Tells in a line what it is.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Gives its panel: never another board's.
    #[must_use]
    pub fn panel(&self) -> &PanelAddress {
        &self.panel
    }

    /// Gives its buttons.
    #[must_use]
    pub fn buttons(&self) -> &[ButtonWiring] {
        &self.buttons
    }

    /// Gives what to know when wiring it, a sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Gives where its facts are from.
    #[must_use]
    pub fn sources(&self) -> &[String] {
        &self.sources
    }
}

/// Gives the first line that more than one thing is on.
fn used_twice<'a>(panel: &'a PanelAddress, buttons: &'a [ButtonWiring]) -> Option<&'a LineAddress> {
    let mut lines: Vec<&LineAddress> = buttons.iter().map(|button| &button.line).collect();
    if let PanelAddress::Spi(spi) = panel {
        lines.push(&spi.data_command);
        lines.extend(spi.reset.iter().chain(&spi.backlight));
    }
    lines.iter().enumerate().find(|&(at, line)| lines[..at].contains(line)).map(|(_, &line)| line)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::panel::Glass;

    #[test]
    fn every_shipped_board_is_usable_and_says_where_its_facts_are_from() {
        for (name, _) in SHIPPED {
            let board = BoardReference::Shipped(name.to_owned()).read_board();
            let board = board.unwrap_or_else(|error| panic!("{error}"));
            assert!(!board.sources().is_empty() && !board.notes().is_empty(), "{name}");
            let address: PanelAddress = format!("board://{name}").parse().unwrap();
            assert_eq!(address, PanelAddress::Board(BoardReference::Shipped(name.to_owned())));
        }
    }

    #[test]
    fn every_file_of_the_folder_is_shipped() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards");
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        assert_eq!(names, SHIPPED.map(|(name, _)| name));
    }

    #[test]
    fn a_users_own_file_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "description = \"mine\"\npanel = \"null:320x240\"\n\n[[button]]\nline = \"GPIO5\"\n\
                    action = \"next-class\"\nactive-low = false\ndebounce-ms = 50\n";
        fs::write(file.path(), text).unwrap();
        let reference = BoardReference::read(file.path().to_str().unwrap()).unwrap();
        let board = reference.read_board().unwrap();
        assert_eq!(board.panel().to_string(), "null:320x240");
        assert_eq!(board.buttons()[0].debounce_ms, 50);
        let panel = crate::panel::open(&PanelAddress::Board(reference)).unwrap();
        assert!(panel.description().starts_with("null:320x240"));
    }

    #[test]
    fn every_mistake_is_one_line_that_tells_what_is_expected() {
        let spi = "panel = \"spi://0.0?model=ili9341&dc=GPIO25\"\n";
        let button = "[[button]]\nline = \"GPIO5\"\naction = \"mode\"\n";
        let cases = [
            ("".to_owned(), "missing field `description`"),
            ("description = \"x\"\npanle = \"null:\"".to_owned(), "line 2: unknown field `panle`"),
            ("description = \"x\"\npanel = ".to_owned(), "line 2: "),
            ("description = \"\"\npanel = \"null:\"".to_owned(), "description: expected"),
            ("description = \"x\"\npanel = \"hdmi\"".to_owned(), "panel: \"hdmi\" is no panel"),
            ("description = \"x\"\npanel = \"board://pi-ili9341\"".to_owned(), "not another board"),
            (format!("description = \"x\"\n{spi}{button}{button}"), "line GPIO5: expected one use"),
            (
                format!("description = \"x\"\n{spi}{}", button.replace("GPIO5", "GPIO25")),
                "line GPIO25: expected one use",
            ),
            (
                format!("description = \"x\"\n{spi}{}", button.replace("mode", "menu")),
                "line 5: unknown variant `menu`, expected one of `freeze`, `mode`",
            ),
            (
                format!("description = \"x\"\n{spi}{}", button.replace("GPIO5", "5")),
                "line \"5\": expected a line's name",
            ),
            (
                format!("description = \"x\"\n{spi}{button}debounce-ms = 5000\n"),
                "debounce-ms: expected at most 1000",
            ),
        ];
        for (text, expected) in cases {
            let error = Board::parse("board:///x.toml", &text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{text}: {error}");
            assert!(error.starts_with("board:///x.toml: "), "{error}");
        }
        let unknown = BoardReference::read("no-such").unwrap().read_board().unwrap_err();
        assert!(unknown.to_string().contains("give one of adafruit-bonnet-13, "), "{unknown}");
    }

    #[test]
    fn a_board_can_say_how_its_glass_is_mounted() {
        let text =
            "description = \"x\"\npanel = \"spi://0.0?model=ili9341&dc=GPIO25&mirror=false\"\n";
        let PanelAddress::Spi(spi) = Board::parse("x", text).unwrap().panel().clone() else {
            panic!("no SPI panel")
        };
        let crate::panel::SpiDisplay::Color(glass) = spi.display else { panic!("no colour panel") };
        assert_eq!(glass, Glass { mirror: false, ..Glass::usual(glass.model, None) });
    }
}
