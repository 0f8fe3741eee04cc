import { parse } from 'svelte/compiler';
import { expect, it } from 'vitest';
import { sources } from '../../dev/sources.ts';

it('takes every visible text of a component from the catalogue', () => {
  const literals = sources()
    .filter(({ path }) => path.endsWith('.svelte'))
    .flatMap(({ path, text }) => textsIn(text).map((literal) => `${path}: ${literal}`));
  expect(literals).toEqual([]);
});

it('takes every sentence in the code of the pages from the catalogue', () => {
  const sentences = sources().flatMap(({ path, text }) =>
    sentencesIn(path.endsWith('.svelte') ? text : `<script lang="ts">${text}</script>`).map(
      (one) => `${path}: ${one}`,
    ),
  );
  expect(sentences).toEqual([]);
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

it.each([
  ["const words = 'Nobody is live.'", ['Nobody is live.']],
  ['throw new Error(`No stream ${id}`)', ['No stream ']],
  ["form.querySelector('.chosen button')", []],
  ["t('home.title')", []],
])('finds the sentences of %s', (script, sentences) => {
  expect(sentencesIn(`<script lang="ts">${script}</script>`)).toEqual(sentences);
});

interface Node {
  type: string;
  [field: string]: unknown;
}

/** What a person would see or hear of a component without its code having been run. */
function textsIn(component: string): string[] {
  const found: string[] = [];
  visit(fragmentOf(component), false);
  return found.filter((text) => /\p{L}/u.test(text.replace(/\bCaudal\b/gu, '')));

  function visit(node: Node, ofComponent: boolean): void {
    if (node.type === 'Text') found.push((node['data'] as string).trim());
    else if (node.type === 'ExpressionTag') show(node['expression'] as Node);
    else if (node.type === 'Attribute') attribute(node, ofComponent);
    else if (node.type !== 'StyleDirective') {
      for (const child of childrenOf(node)) visit(child, node.type === 'Component');
    }
  }

  function attribute(node: Node, ofComponent: boolean): void {
    const name = node['name'] as string;
    if (!VISIBLE.has(name) && !(ofComponent && VISIBLE_IN_OURS.has(name))) return;
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

/** Texts in scripts that begin or end as a sentence does, and have two words with a space between them. */
function sentencesIn(component: string): string[] {
  const found: string[] = [];
  const { instance, module } = parse(component, { modern: true });
  for (const script of [instance, module]) if (script) visit(script.content as unknown as Node);
  return found.filter((text) => /\p{L}[,.:;]? \p{L}/u.test(text) && /^\p{Lu}|[.!?…]$/u.test(text));

  function visit(node: Node): void {
    if (node.type === 'Literal' && typeof node['value'] === 'string') found.push(node['value']);
    if (node.type === 'TemplateElement') found.push((node['value'] as { cooked: string }).cooked);
    for (const child of childrenOf(node)) visit(child);
  }
}

const fragmentOf = (component: string) => parse(component, { modern: true }).fragment as unknown as Node;

function childrenOf(node: Node): Node[] {
  return Object.values(node).flatMap((field) => (Array.isArray(field) ? field : [field]).filter(isNode));
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

/** Attributes, and properties of our own components, that people see or hear. */
const VISIBLE = new Set([
  'alt',
  'aria-description',
  'aria-label',
  'aria-roledescription',
  'aria-valuetext',
  'label',
  'placeholder',
  'title',
]);
const VISIBLE_IN_OURS = new Set(['error', 'hint', 'loading', 'slow', 'text', 'what', 'words']);

const COMPARISONS = new Set(['===', '!==', '==', '!=', '<', '>', '<=', '>=', 'in', 'instanceof']);
