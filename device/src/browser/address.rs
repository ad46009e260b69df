//! The page's address: `http://HOST:PORT[?token=FILE&size=640x480&host=NAME]`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use embedded_graphics::geometry::Size;

use super::BrowserError;
use super::access::Token;
use crate::publish::{AddressError, Query};
use crate::small_file;

/// Where the page is served, and to whom.
///
/// `HOST` is `localhost` or one of this machine's numbers; `0.0.0.0` and `[::]` are all of them. Port 0 is any that is
/// free. `token` names a file with the secret that others need, `size` the screen's width and height in pixels, and
/// `host` a name by which the device is called, as `localhost` and its own host name are; it may be given several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserAddress {
    text: String,
    listen: SocketAddr,
    size: Size,
    token_file: Option<PathBuf>,
    hosts: Vec<String>,
}

/// The usual screen.
const DEFAULT_SIZE: Size = Size::new(640, 480);
/// The least and the largest side of a screen.
const SIDES: std::ops::RangeInclusive<u32> = 16..=4096;

impl BrowserAddress {
    pub(super) fn listen(&self) -> SocketAddr {
        self.listen
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Gives the file with the secret, if one is named.
    #[must_use]
    pub fn token_file(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }

    /// Reads the token; one is needed where others can connect.
    pub(super) fn read_token(&self) -> Result<Option<Token>, BrowserError> {
        match &self.token_file {
            None if self.listen.ip().is_loopback() => Ok(None),
            None => Err(BrowserError::TokenNeeded { address: self.text.clone() }),
            Some(path) => match read(path) {
                Ok(token) => Ok(Some(token)),
                Err(problem) => {
                    let (address, path) = (self.text.clone(), path.clone());
                    Err(BrowserError::Token { address, path, problem })
                }
            },
        }
    }
}

fn read(path: &Path) -> Result<Token, String> {
    let text = small_file::read(path).map_err(|error| error.to_string())?;
    Token::new(text.trim())
}

impl fmt::Display for BrowserAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for BrowserAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (place, mut query) = Query::split(text)?;
        let listen = place.strip_prefix("http://").and_then(|place| {
            let place = place.strip_suffix('/').unwrap_or(place);
            match place.strip_prefix("localhost:") {
                Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
                None => place.parse().ok(),
            }
        });
        let expected = "give http://127.0.0.1:PORT, or another number of this machine and a token";
        let listen = listen.ok_or_else(|| query.malformed(expected))?;
        let size = match query.take("size") {
            None => DEFAULT_SIZE,
            Some(value) => match parse_size(&value) {
                Some(size) => size,
                None => return Err(query.unusable("size", value, "WIDTHxHEIGHT, each 16 to 4096")),
            },
        };
        let token_file = query.take("token").map(PathBuf::from);
        let hosts = std::iter::from_fn(|| query.take("host")).collect();
        query.finish(&["token", "size", "host"])?;
        Ok(Self { text: text.to_owned(), listen, size, token_file, hosts })
    }
}

fn parse_size(text: &str) -> Option<Size> {
    let side = |side: &str| side.parse().ok().filter(|side| SIDES.contains(side));
    let (width, height) = text.split_once('x')?;
    Some(Size::new(side(width)?, side(height)?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn reads_addresses() {
        let plain: BrowserAddress = "http://localhost:8080".parse().unwrap();
        assert_eq!(
            (plain.listen.to_string().as_str(), plain.size),
            ("127.0.0.1:8080", DEFAULT_SIZE)
        );
        let text = "http://[::]:0/?token=a%20b&size=800x600&host=door.example&host=door";
        let full: BrowserAddress = text.parse().unwrap();
        assert_eq!(full.listen.to_string(), "[::]:0");
        assert_eq!((full.size, full.hosts.len()), (Size::new(800, 600), 2));
        assert_eq!(
            (full.token_file.as_deref(), full.to_string().as_str()),
            (Some(Path::new("a b")), text)
        );
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, expected) in [
            ("http://", "give http://127.0.0.1:PORT"),
            ("http://127.0.0.1", "give http://127.0.0.1:PORT"),
            ("http://example.org:80", "give http://127.0.0.1:PORT"),
            ("https://127.0.0.1:80", "give http://127.0.0.1:PORT"),
            ("http://127.0.0.1:80/page", "give http://127.0.0.1:PORT"),
            ("http://127.0.0.1:80?size=8x8", "each 16 to 4096"),
            ("http://127.0.0.1:80?password=x", "known is token, size, host"),
        ] {
            let error = text.parse::<BrowserAddress>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn others_need_a_good_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let read = |query: &str| {
            let address: BrowserAddress = format!("http://0.0.0.0:0{query}").parse().unwrap();
            address.read_token().map(|token| token.is_some()).map_err(|error| error.to_string())
        };
        assert!(read("").unwrap_err().contains("give ?token=FILE"));
        let query = format!("?token={}", file.display());
        assert!(read(&query).unwrap_err().contains("No such file"));
        for (content, expected) in [
            ("", "at least 16"),
            ("short", "at least 16"),
            ("with spaces and so on", "letters, digits"),
        ] {
            fs::write(&file, content).unwrap();
            assert!(read(&query).unwrap_err().contains(expected), "{content}");
        }
        fs::write(&file, "0123456789abcdef\n").unwrap();
        assert_eq!(read(&query), Ok(true));
        let local: BrowserAddress = "http://[::1]:0".parse().unwrap();
        assert!(local.read_token().unwrap().is_none());
    }
}
