//! `search`: the daemon asks a registry's index, and both clients show the same.

use std::time::{Duration, Instant};

use crate::bed::{Bed, PATIENCE};

/// An index that finds two repositories, the less liked first, and says what it was asked.
const INDEX: &str = r#"
import http.server, json
class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = [dict(name='me/tool', description=self.path, star_count=3, is_official=False, is_automated=False),
                 dict(name='tool', description='A <tool> of many words, more than fit into one column\nof a table', star_count=70,
                      is_official=True, is_automated=False)]
        body = json.dumps(dict(num_results=2, query='x', results=found)).encode()
        self.send_response(200 if self.path.startswith('/v1/search') else 404)
        self.send_header('Content-Type', 'application/json'); self.send_header('Content-Length', str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(('127.0.0.1', 5000), Index).serve_forever()
"#;

#[test]
fn privileged_both_clients_show_what_a_registry_finds() {
    let bed = Bed::empty(&[]);
    let _index = bed.beside("python3", &["-c", INDEX]);
    let term = "127.0.0.1:5000/tool";
    let deadline = Instant::now() + PATIENCE;
    while bed.docker(&["search", term]).code != 0 {
        assert!(Instant::now() < deadline, "the index does not answer: {:?}", bed.docker(&["search", term]));
        std::thread::sleep(Duration::from_millis(100));
    }
    for arguments in [
        &["search", term][..],
        &["search", "--no-trunc", "--limit", "7", term],
        &[
            "search",
            "--filter",
            "is-official=true",
            "--format",
            "{{.Name}} {{.StarCount}} {{.IsOfficial}}",
            term,
        ],
        &["search", "--filter", "stars=10", "--format", "json", term],
        &["search", "--filter", "nosuch=1", term],
        &["search", "--limit", "101", term],
    ] {
        let (docker, wharf) = (bed.docker(arguments), bed.wharf(arguments));
        assert_eq!(
            (docker.code, &docker.out, &docker.err),
            (wharf.code, &wharf.out, &wharf.err),
            "{arguments:?}"
        );
    }
    let asked =
        bed.docker(&["search", "--limit", "7", "--no-trunc", "--format", "{{.Description}}", term]).ok();
    assert!(asked.contains("/v1/search?q=tool&n=7"), "{asked}");
}
