//! The page as static files of a folder.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

/// Answers for the files of a folder, and with the page itself for its routes.
pub(super) fn router(dir: &Path) -> Router {
    Router::new()
        .fallback(answer)
        .with_state(Arc::new(dir.to_owned()))
}

async fn answer(State(dir): State<Arc<PathBuf>>, method: Method, uri: Uri) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, "GET, HEAD")],
        )
            .into_response();
    }
    let Some(path) = inside(&dir, uri.path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // The page's own routes have no file: the page itself answers them.
    let is_route = path.extension().is_none();
    let file = if is_route && !path.is_file() {
        dir.join("index.html")
    } else {
        path
    };
    match tokio::fs::read(&file).await {
        Ok(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, mime(&file)),
                // A new build is seen at the next load.
                (header::CACHE_CONTROL, "no-cache"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, Body::from(bytes)).into_response()
        }
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The file that a request's path means, if that lies within the folder.
fn inside(dir: &Path, path: &str) -> Option<PathBuf> {
    let decoded = percent_decoded(path)?;
    let mut inside = dir.to_owned();
    for part in Path::new(decoded.trim_start_matches('/')).components() {
        match part {
            // No file of a page begins with a dot.
            Component::Normal(name) if !name.to_string_lossy().starts_with('.') => {
                inside.push(name)
            }
            _ => return None,
        }
    }
    Some(inside)
}

fn percent_decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let pair = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|decoded| !decoded.contains(['\0', '\\']))
}

fn mime(file: &Path) -> &'static str {
    match file
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default()
    {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" | "toml" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_the_folder() {
        let dir = Path::new("/page");
        assert_eq!(inside(dir, "/"), Some(PathBuf::from("/page")));
        assert_eq!(
            inside(dir, "/pkg/a%20b.js"),
            Some(PathBuf::from("/page/pkg/a b.js"))
        );
        for bad in [
            "/../etc/passwd",
            "/%2e%2e/etc/passwd",
            "/a/../../b",
            "/.git/config",
            "/%",
            "/%00",
            "/a%5c..%5cb",
        ] {
            assert_eq!(inside(dir, bad), None, "{bad}");
        }
        assert_eq!(
            inside(dir, "//etc/passwd"),
            Some(PathBuf::from("/page/etc/passwd"))
        );
        assert_eq!(mime(Path::new("x.wasm")), "application/wasm");
    }
}
