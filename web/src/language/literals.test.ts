import { parse } from 'svelte/compiler';
import { expect, it } from 'vitest';
import { sources } from '../../dev/sources.ts';

it('takes every visible text of a component from the catalogue', () => {
  const literals = sources()
    .filter(({ path }) => path.endsWith('.svelte') && !NOT_YET.some((start) => path.startsWith(start)))
    .flatMap(({ path, text }) => textsIn(text).map((literal) => `${path}: ${literal}`));
  expect(literals).toEqual([]);
});

it.each([
  ['<p>Hello</p>', ['Hello']],
  ['<p>{busy ? `One ${moment}` : t("a.b")}</p>', ['One ']],
  ['<p>{name} · {number(3)} %</p>', []],
  ['<Field id="title" label="Title" hint={wide && "Wide"} name="eye" />', ['Title', 'Wide']],
  ['<a href="/" aria-label="Follow {name}" class="button">Caudal</a>', ['Follow ']],
  ['<b>{state === "on" ? t("a.on") : ""}</b><style>p { color: red }</style>', []],
  ['{#snippet one()}<p>{#if a}Deep{/if}</p>{/snippet}', ['Deep']],
])('finds the texts of %s', (component, texts) => {
  expect(textsIn(component)).toEqual(texts);
});

interface Node {
  type: string;
  [field: string]: unknown;
}

function textsIn(component: string): string[] {
  const found: string[] = [];
  visit(parse(component, { modern: true }).fragment as unknown as Node);
  return found.filter((text) => /\p{L}/u.test(text.replace(/\bCaudal\b/gu, '')));

  function visit(node: Node): void {
    if (node.type === 'Text') found.push((node['data'] as string).trim());
    else if (node.type === 'ExpressionTag') show(node['expression'] as Node);
    else if (node.type === 'Attribute') attribute(node);
    else {
      for (const field of Object.values(node)) {
        for (const child of Array.isArray(field) ? field : [field]) if (isNode(child)) visit(child);
      }
    }
  }

  function attribute(node: Node): void {
    if (!VISIBLE.has(node['name'] as string)) return;
    const { value } = node;
    for (const part of Array.isArray(value) ? (value as Node[]) : isNode(value) ? [value] : []) {
      if (part.type === 'Text') found.push(part['data'] as string);
      else show(part['expression'] as Node);
    }
  }

  /** What an expression may come to: not what it asks about, and not what it gives to functions. */
  function show(node: Node): void {
    switch (node.type) {
      case 'Literal':
        if (typeof node['value'] === 'string') found.push(node['value']);
        return;
      case 'TemplateLiteral':
        for (const { value } of node['quasis'] as { value: { cooked: string } }[]) found.push(value.cooked);
        for (const part of node['expressions'] as Node[]) show(part);
        return;
      case 'ConditionalExpression':
        show(node['consequent'] as Node);
        show(node['alternate'] as Node);
        return;
      case 'LogicalExpression':
      case 'BinaryExpression':
        if (COMPARISONS.has(node['operator'] as string)) return;
        show(node['left'] as Node);
        show(node['right'] as Node);
    }
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

/** Attributes of elements, and properties of our own components, that people see or hear. */
const VISIBLE = new Set([
  'alt',
  'aria-description',
  'aria-label',
  'aria-roledescription',
  'aria-valuetext',
  'error',
  'hint',
  'label',
  'loading',
  'placeholder',
  'slow',
  'title',
  'words',
]);

const COMPARISONS = new Set(['===', '!==', '==', '!=', '<', '>', '<=', '>=', 'in', 'instanceof']);

/** Components that still have texts of their own. A new component takes its texts from the catalogue: name it, not its folder. */
const NOT_YET = ['App', 'channel/', 'chat/', 'pages/', 'settings/', 'studio/', 'ui/', 'watch/'];
