//! The checker shares no code with what it checks.

use std::path::Path;

/// Its normal dependencies, by name: adding one is a decision, not an accident. Nothing of this
/// project can be among them, whatever the kind.
#[test]
fn nothing_of_this_project_is_used() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let (mut section, mut normal) = (String::new(), Vec::new());
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((name, value)) = line.split_once('=')
            && section.contains("dependencies")
        {
            assert!(!name.contains("gdcert") && !value.contains("gdcert"), "{line}");
            assert!(!value.contains("path"), "{line}");
            if section == "dependencies" {
                normal.push(name.trim().to_owned());
            }
        }
        let table = section.starts_with("target") || section.starts_with("dependencies.");
        assert!(!table, "dependencies stand in [dependencies] alone: {section}");
    }
    assert_eq!(normal, ["serde_json", "sha2"]);
    let mut folders = vec![folder.join("src")];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            for way in ["use gdcert::", "gdcert::", "include!(", "#[path"] {
                assert!(!text.contains(way), "{way}");
            }
        }
    }
}
