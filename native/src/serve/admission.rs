//! Who may call the gateway at all: its own page, and programs, by a name that is the gateway's.

use axum::http::{HeaderMap, StatusCode, header};

/// Whether a request comes from the page itself, or from no page at all.
pub(super) fn admit(
    headers: &HeaderMap,
    hosts: &[String],
) -> Result<(), (StatusCode, &'static str)> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    // Else a name that somebody lets point here would make this the origin of their page.
    if !hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
        return Err((
            StatusCode::MISDIRECTED_REQUEST,
            "the gateway is called by its own address only; --host adds a name",
        ));
    }
    let is_own = |origin: &str| {
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    let is_foreign =
        headers.contains_key(header::ORIGIN) && !text(header::ORIGIN).is_some_and(is_own);
    if is_foreign {
        return Err((
            StatusCode::FORBIDDEN,
            "pages of other origins may not use this gateway",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(headers: &[(header::HeaderName, &str)]) -> Result<(), StatusCode> {
        let map = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect();
        let hosts = ["localhost:4700".to_owned(), "lab.example".to_owned()];
        admit(&map, &hosts).map_err(|(status, _)| status)
    }

    #[test]
    fn only_the_page_itself_and_programs_are_admitted() {
        let host = (header::HOST, "localhost:4700");
        let origin = |origin| (header::ORIGIN, origin);
        assert_eq!(admitted(std::slice::from_ref(&host)), Ok(()), "a program");
        assert_eq!(
            admitted(&[host.clone(), origin("http://localhost:4700")]),
            Ok(())
        );
        assert_eq!(
            admitted(&[(header::HOST, "lab.example"), origin("https://lab.example")]),
            Ok(()),
            "behind a proxy that speaks TLS"
        );
        for foreign in [
            "http://evil.example",
            "null",
            "http://localhost:4701",
            "http://localhost:4700.evil.example",
            "ftp://localhost:4700",
            "localhost:4700",
            "",
        ] {
            assert_eq!(
                admitted(&[host.clone(), origin(foreign)]),
                Err(StatusCode::FORBIDDEN),
                "{foreign}"
            );
        }
        for rebound in ["evil.example:4700", "localhost", "localhost:47000"] {
            assert_eq!(
                admitted(&[(header::HOST, rebound)]),
                Err(StatusCode::MISDIRECTED_REQUEST),
                "{rebound}"
            );
        }
        assert_eq!(admitted(&[]), Err(StatusCode::MISDIRECTED_REQUEST));
    }
}
