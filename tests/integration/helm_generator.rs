//! Makes up charts, values files and `--set` flags over everything that Helm's value semantics know, from a seed.

use milvus_guard::model::declaration::SetKind;

use crate::helm_case::{Case, Chart, Listed};

/// A small generator of numbers (SplitMix64): the same cases for the same seed, everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }

    /// True once in `n` throws.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Plain scalars whose type is a matter of YAML 1.1, and some that are nothing special.
#[rustfmt::skip]
const PLAIN: &[&str] = &[
    "on", "On", "ON", "off", "yes", "Yes", "YES", "yEs", "no", "NO", "nO", "y", "Y", "n", "N", "true", "True", "TRUE", "tRue", "false", "~", "null", "Null",
    "NULL", "nULL", "0", "00", "-0", "+0", "007", "0644", "0o644", "0O17", "0899", "0x1F", "0X1f", "0xg", "0x", "-0x1F", "+0x1F", "0b101", "0B11", "-0b11",
    "0b", "0b2", "1_000", "1__0", "_1", "1_", "0_7", "+12", "-12", "1.5", "1.", ".5", "-.5", "+.5", ".1_5", "._5", "1_0.5", "1e3", "1E3", "1e+3", "1.5e-3",
    "1e", "e3", "1e400", "1e-400", "-1e400", "123456789", "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615",
    "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "123456789012345678901234567890", "01777777777777777777777",
    "0xFFFFFFFFFFFFFFFF", "0x10000000000000000", "1:30", "190:20:30", "2001-01-01", "2001-1-1", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43",
    "12:30:45", "v2.5.16", "2.5", "2.5.16", "100Gi", "10m", "a b", "a:b", "a#b", "=", "--", "+", ".", "..", "...x", "http://x:1/", "é", "日本", "100%", "$TAG",
    "${TAG}", "a$b", "a,b", "x{y", "0.1", "1e21", "1e20", "123456.789", "0.000001", "0.0000001", ".NaNx", ".infx", "-.", "+.", "0.", "00.5", "08", "0x_1",
    "1e1_0", "5e-324",
];

/// Scalars for which Helm refuses a file; rare, or nothing else would be seen.
#[rustfmt::skip]
const REFUSED: &[&str] = &[
    ".inf", "-.INF", "+.Inf", ".nan", ".NaN", "!!int abc", "!!float x", "!!bool 1", "!!null x", "!!binary '%%%'", "!!int 1.5",
];

#[rustfmt::skip]
const QUOTED: &[&str] = &[
    "'yes'", "\"1\"", "'null'", "''", "\"\"", "'0644'", "\"a\\nb\"", "'it''s'", "\"\\u00e9\\x41\\t\"", "\"~\"", "'~'", "\"true\"", "\" padded \"", "'a: b'",
    "\"# no\"", "'{}'", "'1.5'", "\"{{ .Release.Name }}\"", "'${TAG}'", "\"$TAG\"",
];

#[rustfmt::skip]
const TAGGED: &[&str] = &[
    "!!str 1", "!!str yes", "!!int '3'", "!!int 0x10", "!!float 3", "!!float '1.5'", "!!float 0644", "!!bool 'yes'", "!!null ''", "!!null ~",
    "!!binary aGVsbG8=", "!own 1", "! 12", "!!str", "!!str ~", "!!binary ''", "!!timestamp 2001-01-01", "!!int -0b11", "!<tag:yaml.org,2002:str> 5",
    "!!float 1e3", "!!int 18446744073709551615",
];

/// Keys: ordinary ones, so that layers meet, and ones that YAML types.
#[rustfmt::skip]
const KEYS: &[&str] = &[
    "a", "b", "c", "d", "a", "b", "x-y", "enabled", "global", "with.dot",
];
#[rustfmt::skip]
const TYPED_KEYS: &[&str] = &[
    "yes", "on", "n", "1", "0x1F", "1.5", "0644", "123456789.0", "1e20", "'9'", "\"quoted key\"", "2001-01-01", "!!str 7", "true", "''", "1e-7", "é", ".5",
    "? a", "1_0",
];
#[rustfmt::skip]
const ROOT_KEYS: &[&str] = &[
    "a", "b", "c", "global", "tags", "alpha", "one", "two", "beta", "gamma", "delta", "a", "b", "global", "alpha", "beta", "one",
];
#[rustfmt::skip]
const REFUSED_KEYS: &[&str] = &[
    "~", "18446744073709551615", "[a]", "{a: 1}", "null", ".inf",
];

/// A whole case.
pub(crate) fn case(dice: &mut Dice) -> Case {
    let chart = chart(dice);
    let files = (0..dice.pick(&[&0, &1, &1, &1, &2, &3]).to_owned()).map(|_| file(dice, 3)).collect();
    let sets = (0..dice.pick(&[&0, &0, &1, &1, &2, &3]).to_owned()).map(|_| set(dice)).collect();
    let input = dice.pick(&["", "line\n", "a,b\n{c}\n", "yes", "0", "é\r\n\tx"]).to_owned();
    Case { chart, files, sets, input }
}

fn chart(dice: &mut Dice) -> Chart {
    let mut parent = Chart { name: "parent".into(), values: file(dice, 3), ..Chart::default() };
    if dice.one_in(4) {
        return parent;
    }
    for name in ["alpha", "beta", "gamma"] {
        let mut inner = Chart { name: name.into(), values: if dice.one_in(4) { String::new() } else { file(dice, 2) }, ..Chart::default() };
        if dice.one_in(3) {
            let mut innermost = Chart { name: "delta".into(), values: file(dice, 2), ..Chart::default() };
            if dice.one_in(4) {
                innermost.bundled.push(Chart { name: "beta".into(), values: file(dice, 1), ..Chart::default() });
                innermost.dependencies.push(listed(dice, "beta", None));
            }
            inner.bundled.push(innermost);
            let alias = dice.one_in(3).then_some("two");
            inner.dependencies.push(listed(dice, "delta", alias));
        }
        parent.bundled.push(inner);
        if name == "alpha" {
            match dice.below(4) {
                0 => parent.dependencies.push(listed(dice, name, Some("one"))),
                1 => {
                    parent.dependencies.push(listed(dice, name, None));
                    parent.dependencies.push(listed(dice, name, Some("one")));
                }
                2 => {
                    parent.dependencies.push(listed(dice, name, Some("two")));
                    parent.dependencies.push(listed(dice, name, Some("one")));
                }
                _ => parent.dependencies.push(listed(dice, name, None)),
            }
        } else {
            parent.dependencies.push(listed(dice, name, None));
        }
    }
    parent
}

fn listed(dice: &mut Dice, name: &str, alias: Option<&str>) -> Listed {
    let key = alias.unwrap_or(name);
    let condition = match dice.below(6) {
        0 | 1 => Some(format!("{key}.enabled")),
        2 => Some(format!("{key}.enabled,a.enabled")),
        3 => Some(dice.pick(&["a.enabled", "global.enabled", " b , a.enabled", "a", ",,tags.front", "no.such.path,b.enabled"]).to_owned()),
        _ => None,
    };
    let tags = match dice.below(5) {
        0 => vec!["front".to_owned()],
        1 => vec!["front".to_owned(), "back".to_owned()],
        2 => vec!["back".to_owned(), "a.b".to_owned()],
        _ => Vec::new(),
    };
    Listed { name: name.into(), alias: alias.map(Into::into), condition, tags, ..Listed::default() }
}

/// The text of a values file.
fn file(dice: &mut Dice, depth: usize) -> String {
    match dice.below(40) {
        0 => return String::new(),
        1 => return "# nothing but a comment\n".into(),
        2 => return "---\n".into(),
        3 => return dice.pick(&["{}\n", "~\n", "null\n", "---\n---\na: 1\n", "# c\n---\n# d\n"]).to_owned(),
        4 if dice.one_in(4) => return dice.pick(&["[a]\n", "text\n", "1\n", "'a: 1'\n"]).to_owned(),
        _ => {}
    }
    let mut text = String::new();
    if dice.one_in(10) {
        text.push_str("# head\n---\n");
    } else if dice.one_in(20) {
        text.push('\u{feff}');
    }
    document(dice, depth, &mut text);
    if dice.one_in(12) {
        text.push_str(dice.pick(&["---\n", "--- # more\n", "...\n---\n"]));
        document(dice, depth - 1, &mut text);
    }
    if dice.one_in(15) { text.replace('\n', "\r\n") } else { text }
}

fn document(dice: &mut Dice, depth: usize, text: &mut String) {
    let mut anchors = 0;
    for _ in 0..=dice.below(5) {
        let key = if dice.one_in(25) { dice.pick(TYPED_KEYS) } else { dice.pick(ROOT_KEYS) };
        match key {
            "tags" if !dice.one_in(8) => {
                text.push_str("tags:\n");
                for tag in ["front", "back"] {
                    if dice.one_in(2) {
                        text.push_str(&format!("  {tag}: {}\n", dice.pick(&["true", "false", "no", "on", "'true'", "~"])));
                    }
                }
                text.push_str("  a: {b: false}\n");
            }
            "alpha" | "one" | "two" | "beta" | "gamma" | "delta" | "global" if !dice.one_in(150) => entry(dice, key, "", depth, true, &mut anchors, text),
            _ => entry(dice, key, "", depth, false, &mut anchors, text),
        }
    }
}

/// Writes `key: value`, the value on the same line or indented below.
fn entry(dice: &mut Dice, key: &str, indent: &str, depth: usize, table: bool, anchors: &mut usize, text: &mut String) {
    if let Some(key) = key.strip_prefix("? ") {
        text.push_str(&format!("{indent}? {key}\n{indent}: {}\n", scalar(dice)));
        return;
    }
    text.push_str(&format!("{indent}{key}:"));
    let kind = match table {
        true if dice.one_in(15) => 6,
        true if dice.one_in(80) => 7,
        true => 0,
        false => dice.below(16),
    };
    match kind {
        0..=4 if depth > 0 => {
            if dice.one_in(5) {
                *anchors += 1;
                text.push_str(&format!(" &n{anchors}"));
            }
            text.push('\n');
            let indent = format!("{indent}{}", dice.pick(&["  ", "  ", "    ", " "]));
            if key != "enabled" && dice.one_in(3) {
                text.push_str(&format!("{indent}enabled: {}\n", dice.pick(&["true", "false", "yes", "off", "~", "'no'", "1"])));
            }
            for _ in 0..=dice.below(3) {
                if *anchors > 0 && dice.one_in(6) {
                    // An anchor of a table that is still open would contain itself.
                    let open = text.matches('&').count();
                    if open > 1 && anchor_is_closed(text, 1, &indent) {
                        text.push_str(&format!("{indent}<<: {}\n", dice.pick(&["*n1", "[*n1]", "[*n1, {b: 7, enabled: no}]", "{c: 3}"])));
                        continue;
                    }
                }
                let key = match dice.below(40) {
                    0 | 1 => dice.pick(TYPED_KEYS),
                    2 if dice.one_in(30) => dice.pick(REFUSED_KEYS),
                    _ => dice.pick(KEYS),
                };
                entry(dice, key, &indent, depth - 1, false, anchors, text);
            }
        }
        6 if table => text.push_str(&format!(" {}\n", dice.pick(&["{}", "{a: 1, enabled: no}", "{a: {b: ~, c: 1}, global: {a: {b: {c: 1}}}}"]))),
        5 | 6 => text.push_str(&format!(" {}\n", flow(dice, depth))),
        7 => text.push_str(&format!(" {}\n", dice.pick(&["~", "null", "", "{}", "Null", "{}"]))),
        8 => {
            text.push('\n');
            for _ in 0..=dice.below(3) {
                text.push_str(&format!("{indent}- {}\n", if dice.one_in(4) { flow(dice, 1) } else { scalar(dice) }));
            }
        }
        9 if dice.one_in(2) => {
            let block = dice.pick(&["|", ">", "|-", ">-", "|+", "|2"]);
            text.push_str(&format!(" {block}\n{indent}  first: line\n{indent}  second # line\n\n{indent}   third\n"));
        }
        10 if dice.one_in(3) => text.push_str(&format!(" several\n{indent}  words here\n")),
        _ => text.push_str(&format!(" {}{}\n", scalar(dice), if dice.one_in(8) { " # why" } else { "" })),
    }
}

/// Whether the anchor's table ended before a line with this indent.
fn anchor_is_closed(text: &str, anchor: usize, indent: &str) -> bool {
    let mark = format!("&n{anchor}");
    let lines: Vec<&str> = text.lines().collect();
    let Some(at) = lines.iter().position(|line| line.ends_with(&mark)) else { return false };
    let depth = |line: &str| line.len() - line.trim_start().len();
    let own = depth(lines[at]);
    let _ = indent;
    lines[at + 1..].iter().any(|line| !line.trim().is_empty() && depth(line) <= own)
}

fn scalar(dice: &mut Dice) -> String {
    match dice.below(200) {
        0 if dice.one_in(2) => dice.pick(REFUSED).to_owned(),
        1..=30 => dice.pick(QUOTED).to_owned(),
        31..=45 => dice.pick(TAGGED).to_owned(),
        46..=75 => dice.below(100_000).to_string(),
        76..=100 => dice.pick(&["~", "null", "true", "false"]).to_owned(),
        _ => dice.pick(PLAIN).to_owned(),
    }
}

/// A value in flow style.
fn flow(dice: &mut Dice, depth: usize) -> String {
    let item = |dice: &mut Dice| match dice.below(6) {
        0 if depth > 1 => flow(dice, depth - 1),
        1 => dice.pick(QUOTED).to_owned(),
        2 => dice.pick(&["~", "null", "''"]).to_owned(),
        _ => dice.pick(&["1", "on", "x", "0x1F", "12", "1.5", "-3", "no", "1e3", "0644", "v1"]).to_owned(),
    };
    if dice.one_in(2) {
        let items: Vec<String> = (0..dice.below(4)).map(|_| item(dice)).collect();
        format!("[{}]", items.join(", "))
    } else {
        let entries: Vec<String> = (0..dice.below(4)).map(|_| format!("{}: {}", dice.pick(&["a", "b", "c", "'d'", "\"e\"", "yes", "1"]), item(dice))).collect();
        format!("{{{}}}", entries.join(", "))
    }
}

/// Texts at the edges of the grammar, refused and accepted.
#[rustfmt::skip]
const ODD_SETS: &[&str] = &[
    "", "a", "a=", "=", "=1", ".a=1", "a.=1", "a..b=1", "a.", "a[0]", "a[0", "a[]=1", "a[x]=1", "a[-1]=1", "a[65537]=1", "a[+1]=x", "a[01]=x", "a[0]b=1",
    "a[0].=1", "a[0].b", "a[0].b=", "a[1][0].b=", "a=1,", "a=1,,b=2", ",a=1", "a={", "a={1", "a={}", "a={1}x=2", "a={1},b=2", "a={1,{2}}", "a=1}", "a\\",
    "a=\\", "a\\.b\\=c=1", "a b = c ", "[0]=1", "a[0][0][0]=1", "a[2].b[1].c=x", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.1.2.3.4=1",
    "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.1.2.3.4.5.6=1", "a=falſe", "a=TrUe", "a=+5", "a=-0", "a=9223372036854775808", "a=9007199254740993",
    "é=ü", "a=b=c", "a.b=[1]", "a[0]=,b=1", "a={,}", "a={a\\,b,c}", "a=1,a=2", "a[0]=1,a[0]=2", "global.a.b=1", "tags.front=false", "alpha=1", "beta=null",
    "alpha.enabled=false", "{\"a\":{\"b\":null}}", " {\"a\":1} ", "{\"a\":1}x", "{", "a={\"x\":1},b=[2]", "a=1abc=2", "a=[1,2", "a=\"x", "a=nul", "a= ,b=1",
    "a=1 , b=2", "a={\"k\":1,\"k\":2}", "a[0]={\"x\":null}", "a=\"\\ud83d\\ude00\\ud800\"", "a=-", "a=01", "a=1e400", "a=1.0", "a=-0.0",
    "a[0].b=1,a[0].c=2,a[1]=3", "a.b[0]=1,a.b[1].c=2", "a[1]=x", "a[0][1]=x", "with\\.dot=1", "a.with\\.dot.b=1",
];

/// A flag of the `--set` family.
fn set(dice: &mut Dice) -> (SetKind, String) {
    let kind = *dice.pick(&[&SetKind::Set, &SetKind::Set, &SetKind::SetString, &SetKind::SetJson, &SetKind::SetLiteral, &SetKind::SetFile]);
    // Files that are missing are beyond the library, which is handed what a file holds.
    if kind != SetKind::SetFile && dice.one_in(12) {
        return (kind, dice.pick(ODD_SETS).to_owned());
    }
    let pairs: Vec<String> =
        (0..if kind == SetKind::SetLiteral { 1 } else { 1 + dice.below(3) }).map(|_| format!("{}={}", name(dice), given(dice, kind))).collect();
    (kind, pairs.join(","))
}

fn name(dice: &mut Dice) -> String {
    let mut name = match dice.below(10) {
        0 => "tags".to_owned(),
        1..=5 => format!("{}{}", dice.pick(&["p", "q", "alpha.p", "one.q", "beta.p", "gamma.global.p", "global.q", "global.p"]), dice.below(6)),
        _ => dice.pick(ROOT_KEYS).to_owned(),
    };
    let deeper = if name.len() > 3 || dice.one_in(2) { 1 + dice.below(2) } else { dice.below(4) };
    for _ in 0..deeper {
        match dice.below(9) {
            0 => name.push_str(&format!("{}[{}]", dice.pick(&["", ".l", ".l", ".m"]), dice.below(4))),
            1 => name.push_str(".with\\.dot"),
            2 => name.push_str(".enabled"),
            _ => {
                name.push('.');
                name.push_str(dice.pick(&["a", "b", "c", "front", "global", "1", "x-y", "é"]));
            }
        }
    }
    name
}

fn given(dice: &mut Dice, kind: SetKind) -> String {
    match kind {
        SetKind::SetFile => dice.pick(&["input.txt", "input.txt", "input.txt", "input.txt", "input.txt", "{input.txt,input.txt}", ""]).to_owned(),
        SetKind::SetJson => dice
            .pick(&[
                "1",
                "null",
                "\"x,y\"",
                "[1,null,{\"a\":[]}]",
                "{\"a\":{\"b\":null,\"c\":1.50}}",
                "true",
                "-1e3",
                "{}",
                "[]",
                "12345678901234567890",
                " 5 ",
                "",
                "\"a\\u00e9\"",
                "{\"enabled\":false}",
                "9007199254740993",
                "bad",
            ])
            .to_owned(),
        _ => match dice.below(8) {
            0 => format!("{{{},{}}}", simple(dice), simple(dice)),
            1 => "null".into(),
            _ => simple(dice).to_owned(),
        },
    }
}

fn simple(dice: &mut Dice) -> &'static str {
    dice.pick(&[
        "1", "0", "-7", "true", "FALSE", "null", "NULL", "text", "0644", "1.5", "a\\,b", "a\\=b", "x y", "", "\\\\", "1_000", "0x1F", "é", "\"q\"", "'q'",
        "a.b", "a[0]", "yes", "~", "5Gi", "a:b", "+3", "\\{a\\}", "v2.5.16", "a\\.b",
    ])
}
