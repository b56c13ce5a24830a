use super::*;
#[test]
fn dump() {
    let mut paths: Vec<_> = std::fs::read_dir("/tmp/config-cases").unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "toml")) {
        let out = match parse(&std::fs::read_to_string(path).unwrap()) { Ok(loaded) => format!("OK\n{}", loaded.warnings.render(Format::Full)), Err(e) => e.render(Format::Full) };
        std::fs::write(path.with_extension("out"), out).unwrap();
    }
}
