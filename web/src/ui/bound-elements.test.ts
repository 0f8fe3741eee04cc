import { expect, it } from 'vitest';
import { sources } from '../../dev/sources.ts';

// Svelte takes the element away when the component goes, and what a browser, a timer or an answer calls then may still
// come. Declared like this, the compiler asks for an answer to that at every use.
it('no component believes that an element which it binds is always there', () => {
  const trusting = sources()
    .filter(({ path }) => path.endsWith('.svelte'))
    .flatMap(({ path, text }) => trustedIn(text).map((name) => `${path}: ${name}`));
  expect(trusting).toEqual([]);
});

it.each([
  ['let a: HTMLDivElement;', ['a']],
  ['let a: HTMLDivElement | undefined;', []],
  ['let a: HTMLDivElement | null = null;', []],
  ['let a = $state<HTMLDivElement>();', []],
  ['let a = $state<HTMLDivElement>()!;', ['a']],
])('sees what %s believes', (script, names) => {
  expect(trustedIn(`<script lang="ts">${script}</script><div bind:this={a}></div>`)).toEqual(names);
});

/** The names to which an element is bound whose declarations do not say that it may be away. */
function trustedIn(component: string): string[] {
  return [...component.matchAll(/bind:this=\{(\w+)\}/g)]
    .map(([, name = '']) => name)
    .filter(
      (name) =>
        !new RegExp(`let ${name}(: [^;]*\\| (undefined|null)\\b| = \\$state(\\.raw)?<[^;]*>\\(\\);)`).test(
          component,
        ),
    );
}
