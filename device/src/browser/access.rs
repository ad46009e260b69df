//! Who may ask for what.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

/// The least characters of a token: of random letters and digits they cannot be guessed.
pub(super) const SHORTEST_TOKEN: usize = 16;

/// How long a browser keeps the token, in seconds: 30 days.
const COOKIE_SECONDS: u32 = 30 * 24 * 3600;

/// A secret that whoever connects must know.
#[derive(Clone)]
pub(super) struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
        if text.len() < SHORTEST_TOKEN {
            return Err(format!("it needs at least {SHORTEST_TOKEN} characters"));
        }
        if text.len() > 256 || !text.bytes().all(is_allowed) {
            return Err("it may have 256 letters, digits and -._~+/= in one line".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// Compares in a time that tells neither content nor length.
    fn is(&self, given: &str) -> bool {
        let [own, given] = [&self.0, given].map(|text| digest(&SHA256, text.as_bytes()));
        own.as_ref().ct_eq(given.as_ref()).into()
    }
}

/// Why a request is not answered: a line for whoever sent it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) &'static str);

/// Who may ask for what.
#[derive(Debug)]
pub(super) struct Access {
    token: Option<Token>,
    cookie: String,
    /// Names of this device, in lower case.
    hosts: Vec<String>,
}

impl Access {
    pub(super) fn new(token: Option<Token>, port: u16, hosts: &[String]) -> Self {
        let mut hosts: Vec<String> = hosts.iter().map(|host| host.to_lowercase()).collect();
        hosts.push("localhost".to_owned());
        let own = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
        if !own.is_empty() {
            hosts.push(format!("{own}.local"));
            hosts.push(own);
        }
        // Cookies know no ports: two devices behind one name keep theirs apart by this.
        Self { token, cookie: format!("lcam_token_{port}"), hosts }
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Checks a request that came in at an address of this machine. Gives the cookie that is to be set, if any.
    pub(super) fn check(
        &self,
        request: &Parts,
        local: IpAddr,
    ) -> Result<Option<HeaderValue>, Refusal> {
        self.check_host(request, local)?;
        check_site(&request.headers)?;
        let cookie = self.check_token(request)?;
        if request.method == Method::POST {
            check_origin(&request.headers)?;
        }
        Ok(cookie)
    }

    fn check_host(&self, request: &Parts, local: IpAddr) -> Result<(), Refusal> {
        let mut hosts = request.headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Refusal(StatusCode::BAD_REQUEST, "one Host header is needed"));
        };
        let is_own = |host: &str| self.is_own(host, local);
        let is_named = host.to_str().is_ok_and(is_own);
        if !is_named || !request.uri.authority().is_none_or(|authority| is_own(authority.as_str()))
        {
            let line = "this device is not called so; use its number or localhost, or give ?host=NAME in its address";
            return Err(Refusal(StatusCode::MISDIRECTED_REQUEST, line));
        }
        Ok(())
    }

    /// Tells whether `HOST` or `HOST:PORT` is this device. The port may be that of a tunnel.
    fn is_own(&self, host: &str, local: IpAddr) -> bool {
        let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
        let name = match host.rsplit_once(':') {
            Some((name, port)) if is_port(port) => name,
            _ => host,
        };
        let number = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match number.parse::<IpAddr>() {
            Ok(number) => {
                let (number, local) = (number.to_canonical(), local.to_canonical());
                number == local || (number.is_loopback() && local.is_loopback())
            }
            Err(_) => self.hosts.contains(&name.to_lowercase()),
        }
    }

    fn check_token(&self, request: &Parts) -> Result<Option<HeaderValue>, Refusal> {
        let Some(token) = &self.token else { return Ok(None) };
        let bearer = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some((scheme, given)) = bearer.and_then(|value| value.split_once(' '))
            && scheme.eq_ignore_ascii_case("bearer")
            && token.is(given.trim())
        {
            return Ok(None);
        }
        if self.cookies(&request.headers).any(|given| token.is(given)) {
            return Ok(None);
        }
        if request.method == Method::GET && given_in_query(request).any(|given| token.is(&given)) {
            let (name, Token(token)) = (&self.cookie, token);
            let cookie = format!(
                "{name}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age={COOKIE_SECONDS}"
            );
            return Ok(HeaderValue::from_str(&cookie).ok());
        }
        let line = "a token is needed: open /?token=TOKEN, or send Authorization: Bearer TOKEN";
        Err(Refusal(StatusCode::UNAUTHORIZED, line))
    }

    fn cookies<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = all.flat_map(|value| value.split(';'));
        pairs.filter_map(|pair| pair.trim().strip_prefix(&self.cookie)?.strip_prefix('='))
    }
}

fn given_in_query(request: &Parts) -> impl Iterator<Item = String> {
    let pairs = request.uri.query().unwrap_or_default().split('&');
    let given = pairs.filter_map(|pair| pair.strip_prefix("token="));
    given.map(|given| percent_decode_str(given).decode_utf8_lossy().into_owned())
}

/// Refuses what pages from elsewhere load. Browsers say so; who follows a link may.
fn check_site(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = |name| headers.get(HeaderName::from_static(name)).map(HeaderValue::as_bytes);
    let is_own = matches!(value("sec-fetch-site"), None | Some(b"same-origin" | b"none"));
    if !is_own && value("sec-fetch-mode") != Some(b"navigate") {
        return Err(Refusal(StatusCode::FORBIDDEN, "pages from elsewhere may not use this device"));
    }
    Ok(())
}

/// Refuses commands that a page from elsewhere sends: it cannot leave its origin out, and not send JSON unasked.
fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let host = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let own = [b"http://", host].concat();
    if headers.get_all(ORIGIN).iter().any(|origin| origin.as_bytes() != own) {
        return Err(Refusal(
            StatusCode::FORBIDDEN,
            "commands are taken from this device's own page",
        ));
    }
    let content = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = content.and_then(|content| content.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        let line = "send JSON with Content-Type: application/json";
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, line));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
