"""The page of the curation report, as a Jinja template: one file, no scripts, readable without colours or pictures."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --ground: #faf9f7; --card: #fff; --ink: #23211e; --soft: #5f5a52; --line: #dedad3;
  --kept: #2f7d4f; --out: #b4552d; }
@media (prefers-color-scheme: dark) { :root { --ground: #1b1a19; --card: #262423; --ink: #efece7; --soft: #b3ada3;
  --line: #3d3a37; --kept: #6cc08d; --out: #e58f68; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 4rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
h2 span, .soft { color: var(--soft); font-weight: normal; }
a { color: inherit; }
a:focus-visible, summary:focus-visible { outline: 3px solid var(--kept); outline-offset: 2px; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; }
th, td { text-align: left; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: middle; }
th { font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; width: 6rem; }
td.bar { width: 40%; }
.bar i { display: block; height: .8rem; min-width: 2px; border-radius: 2px; background: var(--out); }
.bar i.kept { background: var(--kept); }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: .75rem;
  padding: 0; margin: 0; list-style: none; }
.grid.two { grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }
figure { margin: 0; height: 100%; background: var(--card); border: 1px solid var(--line); border-radius: 6px;
  padding: .5rem; }
.pictures { display: flex; gap: .5rem; height: 10rem; }
.pictures div { flex: 1 1 0; min-width: 0; display: flex; flex-direction: column; align-items: center;
  justify-content: center; }
img { max-width: 100%; max-height: 100%; min-height: 0; background: #fff; object-fit: contain; }
.pictures small { color: var(--soft); }
figcaption { font-size: .8rem; line-height: 1.35; margin-top: .4rem; overflow-wrap: anywhere; }
figcaption .soft { display: block; }
.files td:first-child { overflow-wrap: anywhere; }
details { margin-top: 2rem; } summary { cursor: pointer; font-weight: 600; }
code { font-size: .9em; overflow-wrap: anywhere; }
</style>
</head>
<body>
<a class="skip" href="#counts">To the counts</a>
<header>
<h1>{{ title }}</h1>
<p class="soft">{{ "{:,}".format(files) }} pictures looked at{% if dry %}; a dry run, nothing was written{% endif %}.
{% if digest %}Digest of the set: <code>{{ digest }}</code>{% endif %}</p>
</header>
<main>
<section id="counts" aria-labelledby="counts-title">
<h2 id="counts-title">What became of them</h2>
<table>
<caption>One reason for each picture that was left out: the first in this order that holds.</caption>
<thead><tr><th scope="col">Where or why</th><th scope="col" class="n">Pictures</th><th scope="col" class="n">Share</th>
<td class="bar"></td></tr></thead>
<tbody>
{% for s in sections %}
<tr><th scope="row"><a href="#{{ s.key }}">{{ s.title }}</a></th><td class="n">{{ "{:,}".format(s.count) }}</td>
<td class="n">{{ "%.1f"|format(100 * s.count / (files or 1)) }} %</td>
<td class="bar" aria-hidden="true"><i {% if s.key in kept %}class="kept" {% endif %}
style="width:{{ "%.2f"|format(100 * s.count / (files or 1)) }}%"></i></td></tr>
{% endfor %}
</tbody>
</table>
</section>
{% for s in sections %}
{% set pairs = s.key == "near_duplicate" %}
<section id="{{ s.key }}" aria-labelledby="{{ s.key }}-title">
<h2 id="{{ s.key }}-title">{{ s.title }} <span>{{ "{:,}".format(s.count) }}
{%- if s.figures|length < s.count %}, of which {{ s.figures|length }}{% endif %}</span></h2>
{% if s.figures|selectattr("image")|list %}
<ul class="grid{% if pairs %} two{% endif %}">
{% for f in s.figures %}
<li><figure>
<div class="pictures">
<div>{% if f.image %}<img src="{{ f.image }}" alt="{{ f.name }}" loading="lazy">
{%- else %}<small>no picture</small>{% endif %}
{% if pairs %}<small>left out</small>{% endif %}</div>
{% if f.twin %}<div>
{%- if f.twin.image %}<img src="{{ f.twin.image }}" alt="{{ f.twin.name }}" loading="lazy">{% endif %}
<small>kept instead</small></div>{% endif %}
</div>
<figcaption>{{ f.name }}{% if f.why %} <span class="soft">{{ f.why }}</span>{% endif %}
{% if f.credit %}<span class="soft">{{ f.credit }}</span>{% endif %}</figcaption>
</figure></li>
{% endfor %}
</ul>
{% else %}
<table class="files">
<thead><tr><th scope="col">File</th><th scope="col">Details</th></tr></thead>
<tbody>
{% for f in s.figures %}<tr><td>{{ f.name }}</td><td>{{ f.why }}</td></tr>
{% endfor %}
</tbody></table>
{% endif %}
</section>
{% endfor %}
{% if units %}
<section aria-labelledby="units-title">
<h2 id="units-title">Artists and works <span>{{ "{:,}".format(total_units) }}
{%- if units|length < total_units %}, the largest {{ units|length }}{% endif %}</span></h2>
<table>
<caption>Each lies wholly in training or in test, unless a manifest said otherwise.</caption>
<thead><tr><th scope="col">Name</th><th scope="col">Split</th><th scope="col" class="n">Pictures</th>
<th scope="col">Licences</th></tr></thead>
<tbody>
{% for u in units %}<tr><th scope="row">{{ u.unit }}</th><td>{{ u.split }}</td>
<td class="n">{{ "{:,}".format(u.count) }}</td>
<td>{{ (u.licences or "none stated").replace(",", ", ") }}</td></tr>
{% endfor %}
</tbody></table>
</section>
{% endif %}
{% if warnings %}
<section aria-labelledby="warnings-title">
<h2 id="warnings-title">Could not be read beside the pictures</h2>
<ul>{% for w in warnings %}<li>{{ w }}</li>{% endfor %}</ul>
</section>
{% endif %}
<details><summary>Options</summary>
<table><tbody>
{% for name, value in options %}<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}
</tbody></table></details>
</main>
</body>
</html>
"""
