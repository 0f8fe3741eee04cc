import { defineConfig } from 'vitest/config';

// What needs Kubernetes, which takes minutes to build the first time: `make cluster-test`.
const kubernetes = ['tests/chart.test.ts', 'tests/cluster.test.ts', 'tests/cluster-story.test.ts', 'tests/cluster-faults.test.ts', 'tests/kubernetes-api.test.ts'];

export default defineConfig(({ mode }) => ({
  test: {
    include: mode === 'cluster' ? kubernetes : ['tests/**/*.test.ts'],
    exclude: mode === 'cluster' ? [] : kubernetes,
    // Each test file runs a platform, an encoder and a browser, and waits most of the time: two together need nine tenths of one core.
    // Those on the cluster have one cluster.
    fileParallelism: mode !== 'cluster',
    maxWorkers: 2,
    // Tests that only send, a small picture each.
    maxConcurrency: 3,
    testTimeout: 90_000,
    hookTimeout: 90_000,
    // A browser, an encoder and a platform share two cores with whoever else is there. The report names what was run twice.
    retry: process.env.CI ? 1 : 0,
    reporters: ['verbose'],
  },
}));
