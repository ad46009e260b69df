use axum::http::Request;

use super::*;

const SECRET: &str = "0123456789abcdef+/=";

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn check(access: &Access, method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
    let local = "192.168.1.5".parse().unwrap();
    let result = access.check(&request(method, uri, headers), local);
    result.map_or_else(|Refusal(status, _)| status.as_u16(), |_| 200)
}

#[test]
fn only_names_of_this_device_are_answered() {
    let access = Access::new(None, 8080, &["Door.example".to_owned()]);
    for (host, expected) in [
        ("192.168.1.5", 200),
        ("192.168.1.5:8080", 200),
        ("[::ffff:192.168.1.5]:8080", 200),
        ("localhost:9000", 200),
        ("LOCALHOST", 200),
        ("door.EXAMPLE:8080", 200),
        ("192.168.1.6:8080", 421),
        ("127.0.0.1:8080", 421),
        ("evil.example:8080", 421),
        ("localhost.evil.example", 421),
        ("localhost:8080@evil.example", 421),
        ("[::1", 421),
        ("", 421),
    ] {
        assert_eq!(check(&access, "GET", "/", &[("host", host)]), expected, "{host}");
    }
    let local = "::1".parse().unwrap();
    assert_eq!(access.check(&request("GET", "/", &[("host", "127.0.0.1")]), local), Ok(None));
    assert_eq!(check(&access, "GET", "/", &[]), 400);
    assert_eq!(check(&access, "GET", "/", &[("host", "localhost"), ("host", "localhost")]), 400);
    assert_eq!(check(&access, "GET", "http://evil.example/", &[("host", "localhost")]), 421);
}

#[test]
fn a_token_is_taken_from_header_cookie_and_query() {
    let access = Access::new(Some(Token::new(SECRET).unwrap()), 8080, &[]);
    let host = ("host", "localhost");
    let bearer = format!("Bearer {SECRET}");
    let cookie = format!("a=b; lcam_token_8080={SECRET}");
    for (uri, header, expected) in [
        ("/", ("x", ""), 401),
        ("/", ("authorization", bearer.as_str()), 200),
        ("/", ("authorization", "Bearer 0123456789abcde"), 401),
        ("/", ("authorization", SECRET), 401),
        ("/", ("cookie", cookie.as_str()), 200),
        ("/", ("cookie", "lcam_token_8080="), 401),
        ("/?token=0123456789abcdef%2B%2F%3D", ("x", ""), 200),
        ("/?a=b&token=0123456789abcdef+/=", ("x", ""), 200),
        ("/?token=", ("x", ""), 401),
        ("/?token=%ff", ("x", ""), 401),
    ] {
        assert_eq!(check(&access, "GET", uri, &[host, header]), expected, "{uri} {header:?}");
    }
    let local = "127.0.0.1".parse().unwrap();
    let uri = format!("/?token={SECRET}");
    let cookie = access.check(&request("GET", &uri, &[host]), local).unwrap().unwrap();
    let cookie = cookie.to_str().unwrap();
    assert!(cookie.starts_with(&format!("lcam_token_8080={SECRET};")), "{cookie}");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    // A form elsewhere could put a query to its target, too.
    assert_eq!(check(&access, "POST", &uri, &[host, ("content-type", "application/json")]), 401);
    assert!(!format!("{access:?}").contains(SECRET), "a log could tell it");
}

#[test]
fn commands_come_from_here() {
    let access = Access::new(None, 8080, &[]);
    let (host, json) =
        (("host", "localhost:8080"), ("content-type", "application/json; charset=utf-8"));
    for (headers, expected) in [
        (vec![host, json], 200),
        (vec![host, json, ("origin", "http://localhost:8080")], 200),
        (vec![host, json, ("origin", "http://localhost:8081")], 403),
        (vec![host, json, ("origin", "http://evil.example")], 403),
        (vec![host, json, ("origin", "null")], 403),
        (vec![host], 415),
        (vec![host, ("content-type", "text/plain")], 415),
        (vec![host, json, ("sec-fetch-site", "cross-site")], 403),
        (vec![host, json, ("sec-fetch-site", "same-origin")], 200),
    ] {
        assert_eq!(check(&access, "POST", "/command", &headers), expected, "{headers:?}");
    }
}

#[test]
fn pages_from_elsewhere_embed_nothing_but_may_link() {
    let access = Access::new(None, 8080, &[]);
    let host = ("host", "localhost:8080");
    for (site, mode, expected) in [
        ("cross-site", "no-cors", 403),
        ("same-site", "no-cors", 403),
        ("cross-site", "navigate", 200),
        ("none", "navigate", 200),
        ("same-origin", "no-cors", 200),
    ] {
        let headers = [host, ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
        assert_eq!(check(&access, "GET", "/stream.mjpg", &headers), expected, "{site} {mode}");
    }
}
