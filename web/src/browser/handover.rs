//! Bytes that leave this tab: as a file, or to another tab of this page.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsCast;
use web_sys::{Blob, HtmlElement, Url};

use super::window;

/// Bytes that this tab keeps for others, under an address of its own, until it is dropped or the tab is closed.
pub(crate) struct Kept {
    address: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // An address that is unknown is gone already.
        let _revoked = Url::revoke_object_url(&self.address);
    }
}

impl Kept {
    /// Keeps bytes.
    ///
    /// # Errors
    /// A sentence, where the browser does not.
    pub(crate) fn new(bytes: &[u8]) -> Result<Kept, String> {
        let parts = Array::of1(&Uint8Array::from(bytes));
        let address = Blob::new_with_u8_array_sequence(&parts)
            .and_then(|blob| Url::create_object_url_with_blob(&blob));
        let address = address.map_err(|_| "The browser keeps no files here.")?;
        Ok(Kept { address })
    }

    /// The address of the page that plays it.
    pub(crate) fn replay_address(&self) -> String {
        format!("./#recording={}", self.address)
    }

    /// Gives it to the person as a file.
    pub(crate) fn save(&self, name: &str) {
        let document = window().and_then(|window| window.document());
        let link = document.and_then(|document| document.create_element("a").ok());
        let Some(link) = link.and_then(|link| link.dyn_into::<HtmlElement>().ok()) else {
            return;
        };
        // An element takes any attribute.
        let _address = link.set_attribute("href", &self.address);
        let _name = link.set_attribute("download", name);
        link.click();
    }

    /// Opens it in another tab; `false` where the browser wants a click for that.
    pub(crate) fn replay(&self) -> bool {
        let opened = window()
            .map(|window| window.open_with_url_and_target(&self.replay_address(), "_blank"));
        matches!(opened, Some(Ok(Some(_))))
    }
}
