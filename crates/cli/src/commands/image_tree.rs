//! `docker images --tree`: images with their platforms below them (docker/cli `cli/command/image/tree.go`, 28.2).

use serde_json::Value as Json;

use crate::format::text::{ellipsis, short_id};
use crate::format::units::human_size_with;

const WARNING: &str =
    "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.";
const NONE_TAG: &str = "<none>:<none>";
const NONE_DIGEST: &str = "<none>@<none>";
const UNTAGGED: &str = "<untagged>";
/// Blanks before each column but the first.
const GAP: usize = 3;
/// The first column may not become narrower for the sake of one more column on the right.
const NAME_MIN: usize = 12;
const WIDTH_MIN: usize = 20;

/// ECMA-48 sequences (`SGR`), in the order in which Docker's client nests them.
const YELLOW: &[&str] = &["\x1b[93m"];
const HEADER: &[&str] = &["\x1b[39m", "\x1b[1m"];
const NAME: &[&str] = &["\x1b[34m", "\x1b[1m"];
const NORMAL: &[&str] = &["\x1b[39m"];
const FAINT: &[&str] = &["\x1b[39m", "\x1b[2m"];
const CHIP: &[&str] = &["\x1b[38;5;0m", "\x1b[48;5;14m"];

/// A column on the right of the names.
struct Column {
    title: &'static str,
    width: usize,
    right: bool,
    value: fn(&Line) -> &str,
}

const COLUMNS: [Column; 3] = [
    Column { title: "ID", width: 12, right: false, value: |line| &line.id },
    Column { title: "DISK USAGE", width: 10, right: true, value: |line| &line.disk },
    Column { title: "CONTENT SIZE", width: 12, right: true, value: |line| &line.content },
];
/// The last column: marks, of which there is one, ` U `.
const EXTRA: &str = "EXTRA";

/// What stands beside a name.
struct Line {
    id: String,
    disk: String,
    content: String,
    used: bool,
}

struct Image {
    names: Vec<String>,
    line: Line,
    platforms: Vec<Platform>,
}

struct Platform {
    name: String,
    line: Line,
    available: bool,
}

/// The whole output for a terminal of `width` columns; without colours (but for the heading's, as Docker's client) where standard
/// output is none.
pub(super) fn tree(images: &[Json], all: bool, width: Option<usize>) -> String {
    let mut images: Vec<&Json> = images.iter().filter(|image| all || !is_dangling(image)).collect();
    images.sort_by_key(|image| std::cmp::Reverse(image["Created"].as_i64()));
    let images: Vec<Image> = images.into_iter().map(Image::new).collect();
    let mut page = Page::new(&images, width);
    page.legend();
    page.header();
    // With platforms below them, images are told apart by empty lines.
    let spaced = images.iter().any(|image| !image.platforms.is_empty());
    for image in &images {
        page.image(image);
        if spaced {
            page.out.push('\n');
        }
    }
    page.out
}

fn is_dangling(image: &Json) -> bool {
    let only = |name: &str, none: &str| match image[name].as_array().map(Vec::as_slice) {
        None | Some([]) => true,
        Some([text]) => text == none,
        _ => false,
    };
    only("RepoTags", NONE_TAG) && only("RepoDigests", NONE_DIGEST)
}

fn size(bytes: &Json) -> String {
    human_size_with(bytes.as_f64().unwrap_or_default(), 3)
}

impl Image {
    fn new(image: &Json) -> Self {
        let texts = |name: &str| image[name].as_array().into_iter().flatten().filter_map(Json::as_str);
        let manifests = image["Manifests"].as_array().into_iter().flatten();
        let manifests: Vec<&Json> = manifests.filter(|manifest| manifest["Kind"] == "image").collect();
        let platforms: Vec<Platform> = manifests.iter().map(|manifest| Platform::new(manifest)).collect();
        let content: i64 = manifests.iter().filter_map(|manifest| manifest["Size"]["Content"].as_i64()).sum();
        let line = Line {
            id: short_id(image["Id"].as_str().unwrap_or_default()).to_owned(),
            disk: size(&image["Size"]),
            content: size(&content.into()),
            used: image["Containers"].as_i64().is_some_and(|count| count > 0)
                || platforms.iter().any(|platform| platform.line.used),
        };
        Self { names: texts("RepoTags").map(str::to_owned).collect(), line, platforms }
    }
}

impl Platform {
    fn new(manifest: &Json) -> Self {
        let data = &manifest["ImageData"];
        let words =
            ["os", "architecture", "variant"].map(|name| data["Platform"][name].as_str().unwrap_or_default());
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let line = Line {
            id: short_id(manifest["ID"].as_str().unwrap_or_default()).to_owned(),
            disk: size(&manifest["Size"]["Total"]),
            content: size(&manifest["Size"]["Content"]),
            used: data["Containers"].as_array().is_some_and(|containers| !containers.is_empty()),
        };
        Self { name: words.join("/"), line, available: manifest["Available"] == true }
    }
}

struct Page {
    out: String,
    /// Columns of the terminal.
    width: usize,
    colored: bool,
    /// Of the first column.
    name_width: usize,
    /// How many of [`COLUMNS`] have room.
    columns: usize,
    /// [`EXTRA`] has room.
    extra: bool,
}

impl Page {
    fn new(images: &[Image], terminal: Option<usize>) -> Self {
        let width = terminal.filter(|width| *width > 0).unwrap_or(80).max(WIDTH_MIN);
        let widths = COLUMNS.iter().map(|column| column.width).chain([EXTRA.len()]);
        let (mut left, mut fitting) = (width, 0);
        for column in widths {
            match left.checked_sub(column + GAP) {
                Some(rest) if rest >= NAME_MIN => (left, fitting) = (rest, fitting + 1),
                _ => break,
            }
        }
        let names = images.iter().flat_map(|image| &image.names).map(|name| name.len());
        let platforms = images
            .iter()
            .flat_map(|image| &image.platforms)
            .map(|platform| platform.name.len() + "└─ ".len());
        let untagged = images.iter().filter(|image| image.names.is_empty()).map(|_| UNTAGGED.len());
        let widest = names.chain(platforms).chain(untagged).max().unwrap_or(0).max("IMAGE".len());
        Self {
            out: String::new(),
            width,
            colored: terminal.is_some(),
            name_width: left.min(widest),
            columns: fitting.min(COLUMNS.len()),
            extra: fitting > COLUMNS.len(),
        }
    }

    fn legend(&mut self) {
        self.colors(YELLOW, WARNING);
        self.out.push('\n');
        let plain = if self.colored { "i Info →   U  In Use " } else { "Info ->  U In Use " };
        let blanks = self.width.saturating_sub(plain.chars().count());
        self.out.push_str(&" ".repeat(blanks));
        if self.colored {
            self.out.push_str("\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m ");
            self.colors(CHIP, " U ");
            self.out.push_str(" In Use ");
        } else {
            self.out.push_str(plain);
        }
        self.out.push_str("\n\n");
    }

    fn header(&mut self) {
        // Docker's client colours this line for files, too.
        let colored = std::mem::replace(&mut self.colored, true);
        self.cell(HEADER, "IMAGE", self.name_width, false);
        for column in &COLUMNS[..self.columns] {
            self.gap();
            self.cell(HEADER, column.title, column.width, column.right);
        }
        if self.extra {
            self.gap();
            self.cell(HEADER, EXTRA, EXTRA.len(), false);
        }
        self.out.push('\n');
        self.colored = colored;
    }

    fn image(&mut self, image: &Image) {
        match image.names.split_last() {
            None => self.cell(FAINT, UNTAGGED, self.name_width, false),
            Some((last, others)) => {
                for name in others {
                    self.colors(NAME, &ellipsis(name, self.name_width));
                    self.out.push('\n');
                }
                self.cell(NAME, last, self.name_width, false);
            }
        }
        self.line(&image.line, NORMAL);
        for (index, platform) in image.platforms.iter().enumerate() {
            let branch = if index + 1 == image.platforms.len() { "└─" } else { "├─" };
            let color = if platform.available { NORMAL } else { FAINT };
            self.cell(color, &format!("{branch} {}", platform.name), self.name_width, false);
            self.line(&platform.line, color);
        }
    }

    fn line(&mut self, line: &Line, color: &[&str]) {
        for column in &COLUMNS[..self.columns] {
            self.gap();
            self.cell(color, (column.value)(line), column.width, column.right);
        }
        if self.extra {
            self.gap();
            // A mark has a margin where it has a background.
            let mark = match (line.used, self.colored) {
                (false, _) => "",
                (true, false) => "U",
                (true, true) => " U ",
            };
            if line.used {
                self.colors(CHIP, mark);
            }
            self.out.push_str(&" ".repeat(EXTRA.len() - mark.len()));
        }
        self.out.push('\n');
    }

    fn gap(&mut self) {
        self.out.push_str(&" ".repeat(GAP));
    }

    /// A text cut to `width` columns or filled up to them; blanks have no colour.
    fn cell(&mut self, color: &[&str], text: &str, width: usize, right: bool) {
        let text = ellipsis(text, width);
        let blanks = " ".repeat(width.saturating_sub(text.chars().count()));
        if right {
            self.out.push_str(&blanks);
        }
        self.colors(color, &text);
        if !right {
            self.out.push_str(&blanks);
        }
    }

    fn colors(&mut self, sequence: &[&str], text: &str) {
        if !self.colored {
            return self.out.push_str(text);
        }
        for start in sequence {
            self.out.push_str(start);
        }
        self.out.push_str(text);
        self.out.push_str("\x1b[0m");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn images() -> Vec<Json> {
        let platform = |id: &str, available: bool, variant: &str, containers: &[&str]| {
            json!({ "ID": format!("sha256:{id}"), "Available": available, "Kind": "image",
                "Size": { "Total": 1_984_319, "Content": 900_000 },
                "ImageData": { "Platform": { "os": "linux", "architecture": "arm", "variant": variant }, "Containers": containers } })
        };
        let attestation = json!({ "ID": "sha256:cc", "Available": true, "Kind": "attestation",
            "Size": { "Total": 5, "Content": 5 }, "AttestationData": { "For": A } });
        vec![
            json!({ "Id": format!("sha256:{B}"), "Created": 1, "Containers": 0, "Size": 12, "RepoTags": [], "RepoDigests": [] }),
            json!({ "Id": format!("sha256:{A}"), "Created": 2, "Containers": 0, "Size": 1_984_319,
                "RepoTags": ["busybox:latest", "registry.example.com/a/name/that/does/not/fit:1"], "RepoDigests": [],
                "Manifests": [platform(A, true, "", &["x"]), platform(B, false, "v7", &[]), attestation] }),
        ]
    }

    /// What Docker's client 28.2 wrote of the same answer.
    #[test]
    fn a_file_gets_the_tree_without_colours() {
        let expected = "\
WARNING: This is an experimental feature. The output may change and shouldn't be depended on.
                                                              Info ->  U In Use 

\x1b[39m\x1b[1mIMAGE\x1b[0m                           \x1b[39m\x1b[1mID\x1b[0m             \x1b[39m\x1b[1mDISK USAGE\x1b[0m   \x1b[39m\x1b[1mCONTENT SIZE\x1b[0m   \x1b[39m\x1b[1mEXTRA\x1b[0m
busybox:latest
registry.example.com/a/name/…   aaaaaaaaaaaa       1.98MB          1.8MB   U    
├─ linux/arm                    aaaaaaaaaaaa       1.98MB          900kB   U    
└─ linux/arm/v7                 bbbbbbbbbbbb       1.98MB          900kB        

<untagged>                      bbbbbbbbbbbb          12B             0B        

";
        assert_eq!(tree(&images(), true, None), expected);
    }

    #[test]
    fn images_without_a_name_show_only_when_all_are_asked_for() {
        assert!(!tree(&images(), false, None).contains(UNTAGGED));
        let kept = json!({ "Id": "sha256:1", "RepoTags": [], "RepoDigests": ["a@sha256:1"] });
        assert!(tree(&[kept], false, None).contains(UNTAGGED));
    }

    #[test]
    fn a_narrow_terminal_drops_columns_from_the_right() {
        let header = |width| tree(&images(), true, Some(width)).lines().nth(3).map(str::to_owned).unwrap();
        for (width, last) in
            [(120, "EXTRA"), (60, "CONTENT SIZE"), (40, "DISK USAGE"), (30, "ID"), (15, "IMAGE")]
        {
            assert!(
                header(width).trim_end().ends_with(&format!("{last}\x1b[0m")),
                "{width}: {}",
                header(width)
            );
        }
    }

    #[test]
    fn names_and_marks_have_their_colours_on_a_terminal() {
        let text = tree(&images(), true, Some(60));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            format!(
                "{}\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m \x1b[38;5;0m\x1b[48;5;14m U \x1b[0m In Use ",
                " ".repeat(39)
            )
        );
        assert_eq!(lines[4], "\x1b[34m\x1b[1mbusybox:latest\x1b[0m");
        let faint = "\x1b[39m\x1b[2m└─ linux/arm/v7\x1b[0m     \x1b[39m\x1b[2mbbbbbbbbbbbb\x1b[0m       \x1b[39m\x1b[2m1.98MB\x1b[0m          \x1b[39m\x1b[2m900kB\x1b[0m";
        assert_eq!(lines[7], faint);
    }
}
