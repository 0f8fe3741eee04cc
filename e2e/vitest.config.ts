import { defineConfig } from 'vitest/config';

// What needs Kubernetes, which takes minutes to build the first time: `make cluster-test`.
const kubernetes = ['tests/chart.test.ts', 'tests/cluster.test.ts', 'tests/cluster-story.test.ts', 'tests/cluster-faults.test.ts', 'tests/kubernetes-api.test.ts'];
// Two viewers and an encoder, and bounds on how long a picture may stand still: what runs beside it would count as well.
const alone = ['tests/story.test.ts'];

export default defineConfig(({ mode }) => ({
  test: {
    // Tests that only send, a small picture each.
    maxConcurrency: 3,
    testTimeout: 90_000,
    hookTimeout: 90_000,
    // A browser, an encoder and a platform share two cores with whoever else is there. The report names what was run twice.
    retry: process.env.CI ? 1 : 0,
    reporters: ['verbose'],
    projects:
      mode === 'cluster'
        ? [project('cluster', { include: kubernetes, maxWorkers: 1 })]
        : [
            // Each test file runs a platform, an encoder and a browser, and waits most of the time: three together need some
            // 1.4 of two cores.
            project('together', { include: ['tests/**/*.test.ts'], exclude: [...kubernetes, ...alone], maxWorkers: 3 }),
            project('alone', { include: alone, maxWorkers: 1, sequence: { groupOrder: 1 } }),
          ],
  },
}));

function project(name: string, test: object) {
  return { extends: true as const, test: { name, ...test } };
}
