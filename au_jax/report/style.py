"""The look of the page: light and dark, phone, desk and paper; no fonts or files from elsewhere."""

STYLE = """\
:root { color-scheme: light dark; --text: #1b1b1b; --soft: #5a5a5a; --page: #fff; --line: #d9d9d9;
  --band: #f4f6f8; --warn: #fff3d6; --warn-line: #b97a00; }
@media (prefers-color-scheme: dark) { :root { --text: #e8e8e8; --soft: #ababab; --page: #16181b;
  --line: #3a3e43; --band: #202429; --warn: #3a2f12; --warn-line: #e0a83a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 1rem 1rem 4rem; }
p { max-width: 46rem; }
h1 { font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
.headline { margin: 1.4rem 0 0; }
.headline b { font-size: 2.8rem; line-height: 1; font-variant-numeric: tabular-nums; }
.headline small { font-size: 1rem; color: var(--soft); white-space: nowrap; }
.headline + p { margin-top: .2rem; }
.warning { background: var(--warn); border-left: 4px solid var(--warn-line);
  padding: .6rem .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .875rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
tbody th, .words { text-align: left; }
tbody th { font-weight: normal; }
.tree tbody th { white-space: normal; min-width: 15rem; }
td.words { white-space: normal; overflow-wrap: anywhere; min-width: 6rem; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: pre-line; }
thead th[colspan] { text-align: center; border-left: 1px solid var(--line); }
tbody tr:nth-child(even) { background: var(--band); }
tr.final th, tr.final td { font-weight: 700; border-top: 2px solid var(--soft); }
figure { margin: 1rem 0; }
img { display: block; width: 100%; min-width: 40rem; background: #fff; border-radius: 6px; }
figcaption { color: var(--soft); font-size: .875rem; max-width: 46rem; margin-top: .3rem; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: 0 .8rem; }
summary { cursor: pointer; padding: .45rem 0; overflow-wrap: anywhere; }
@media print {
  :root { color-scheme: light; --text: #000; --soft: #444; --page: #fff; --line: #bbb;
    --band: #f4f4f4; --warn: #fff; }
  main { max-width: none; padding: 0; }
  body { font-size: 10pt; }
  table { font-size: 7.5pt; }
  th, td { padding: .1rem .3rem; }
  .wide { overflow: visible; }
  img { min-width: 0; }
  figure, tr, .warning { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
}
"""
