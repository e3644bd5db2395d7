//! Files that a person chose, or that another tab of this page keeps for this one, read.

use js_sys::Uint8Array;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, HtmlInputElement, Response};

use super::{hash, window};

/// The files that are chosen in a control; chosen again, the same ones count again.
pub(crate) fn take(input: &HtmlInputElement) -> Vec<File> {
    let list = input.files();
    let files = list
        .iter()
        .flat_map(|list| (0..list.length()).filter_map(|place| list.get(place)));
    let files = files.collect();
    input.set_value("");
    files
}

/// Their names and bytes.
///
/// # Errors
/// A sentence, if they are more than `bytes_max` or one cannot be read.
pub(crate) async fn read(
    files: Vec<File>,
    bytes_max: usize,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    let bytes: f64 = files.iter().map(|file| file.size()).sum();
    if bytes > bytes_max as f64 {
        let most = bytes_max / (1024 * 1024);
        return Err(format!(
            "These files are too large; at most {most} MiB are opened at once."
        ));
    }
    let mut read = Vec::new();
    for file in files {
        let buffer = JsFuture::from(file.array_buffer()).await;
        let buffer = buffer.map_err(|_| format!("{}: the browser cannot read it", file.name()))?;
        read.push((file.name(), Uint8Array::new(&buffer).to_vec()));
    }
    Ok(read)
}

/// The address of what another tab keeps, if this one was opened for it: `#recording=blob:...`.
pub(crate) fn kept_elsewhere() -> Option<String> {
    let hash = hash();
    let address = hash.strip_prefix("#recording=")?;
    address.starts_with("blob:").then(|| address.to_owned())
}

/// What another tab keeps, as `read` gives files.
///
/// # Errors
/// A sentence, if that tab is gone.
pub(crate) async fn fetch(address: String) -> Result<Vec<(String, Vec<u8>)>, String> {
    let bytes = async {
        let answer = JsFuture::from(window()?.fetch_with_str(&address))
            .await
            .ok()?;
        let body = answer.dyn_into::<Response>().ok()?.array_buffer().ok()?;
        Some(Uint8Array::new(&JsFuture::from(body).await.ok()?).to_vec())
    };
    match bytes.await {
        Some(bytes) => Ok(vec![("the recording".to_owned(), bytes)]),
        None => Err("The tab that kept this recording is gone. Save the recording in a live room and open the file.".to_owned()),
    }
}
