//! `phaselab serve`: the page, as static files.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use clap::Args;
use tokio::net::TcpListener;

use crate::failure::{Failure, Outcome, io_words};
use crate::node::runtime;
use crate::signals;
use crate::terminal::Screen;

/// Options of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The port of the loopback to listen at; 0 takes a free one
    #[arg(long, value_name = "P", default_value_t = PAGE_PORT)]
    port: u16,
    /// The folder with the built page
    #[arg(long, value_name = "DIR", default_value = PAGE_DIR)]
    dir: PathBuf,
}

/// The page's port unless told.
pub(crate) const PAGE_PORT: u16 = 4700;
/// Where the page is built to.
pub(crate) const PAGE_DIR: &str = "web/dist";

/// Serves the page until it is asked to stop.
pub(crate) fn run(args: &ServeArgs) -> Outcome {
    if !is_page(&args.dir) {
        return Err(Failure::in_file(
            &args.dir,
            "no index.html here; `npm run build:page` builds the page into web/dist",
        ));
    }
    runtime()?.block_on(async {
        let (listening, serving) = start(args.port, &args.dir).await?;
        let mut screen = Screen::stdout();
        screen.line(&format!(
            "page    http://localhost:{}/    stop: Ctrl-C",
            listening.port()
        ));
        tokio::select! {
            () = serving => {}
            () = signals::asked_to_stop() => {}
        }
        Ok(())
    })
}

/// Whether a folder holds a built page.
pub(crate) fn is_page(dir: &Path) -> bool {
    dir.join("index.html").is_file()
}

/// Listens at a port of the loopback; the returned future serves.
///
/// # Errors
/// If the port is taken.
pub(crate) async fn start(
    port: u16,
    dir: &Path,
) -> Result<(SocketAddr, impl Future<Output = ()> + use<>), Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::Input(format!(
            "{address}: {}; --port chooses another port",
            io_words(&error)
        ))
    })?;
    let listening = listener.local_addr().unwrap_or(address);
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::new(dir.to_owned()));
    let serving = async move {
        // Ends only when it is dropped.
        let _ = axum::serve(listener, router).await;
    };
    Ok((listening, serving))
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
