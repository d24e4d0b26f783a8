//! Images and patches that change the Milvus image after Helm has rendered it: Flux post-renderers, kustomizations over a rendered chart.

use crate::model::declaration::Declaration;
use crate::source::item::{Item, no_expansion};

/// Takes the Milvus image from the `images` and inline patches of a kustomization, or says what cannot be told.
pub fn add(kustomization: &Item, declaration: &mut Declaration) {
    for image in list(kustomization, "images").iter().filter(|image| image.text_at(&["name"]).is_some_and(is_milvus_image)) {
        add_image(image, declaration);
    }
    for key in ["patches", "patchesStrategicMerge", "patchesJson6902"] {
        for patch in list(kustomization, key) {
            add_patch(patch, declaration);
        }
    }
}

fn add_image(image: &Item, declaration: &mut Declaration) {
    let name = image.fact_at(&["newName"]);
    let name = name.known().map_or_else(|| image.text_at(&["name"]).unwrap_or_default().to_owned(), |name| name.to_string());
    match (image.get("digest"), image.get("newTag")) {
        (Some(digest), _) => declaration.image = digest.fact().map(|digest| format!("{name}@{digest}").into()),
        (None, Some(tag)) => declaration.image = tag.fact().map(|tag| format!("{name}:{tag}").into()),
        (None, None) => declaration.gaps.push(image.partly("kustomize takes the Milvus image from another repository")),
    }
}

fn add_patch(patch: &Item, declaration: &mut Declaration) {
    let inner = patch.get("patch").unwrap_or(patch);
    let content = match inner.embedded(&no_expansion) {
        Ok(content) => content.unwrap_or_else(|| inner.clone()),
        Err(gap) => {
            declaration.gaps.push(gap);
            return;
        }
    };
    let Some(image) = image_in(&content) else {
        return;
    };
    let named = patch.at(&["target", "name"]).or_else(|| content.at(&["metadata", "name"]));
    if named.is_some() || image.text().is_none() {
        declaration.gaps.push(image.partly("a patch changes the image of some Milvus workloads: their version is not checked"));
    } else {
        declaration.image = image.fact();
    }
}

/// The Milvus image that a patch sets: an `image` key, or the value of a JSON operation on one.
fn image_in(item: &Item) -> Option<&Item> {
    if item.text_at(&["path"]).is_some_and(|path| path.ends_with("/image")) {
        return item.get("value").filter(|value| value.raw_text().is_some_and(is_milvus_image));
    }
    for (key, value) in item.entries() {
        if key.text() == Some("image") && value.raw_text().is_some_and(is_milvus_image) {
            return Some(value);
        }
        if let Some(found) = image_in(value) {
            return Some(found);
        }
    }
    item.items().iter().find_map(image_in)
}

/// `milvusdb/milvus`, `registry/milvus:v2.5.16`; not Milvus's helper images.
fn is_milvus_image(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split([':', '@']).next() == Some("milvus")
}

fn list<'i>(item: &'i Item, key: &str) -> &'i [Item] {
    item.get(key).map(Item::items).unwrap_or_default()
}
