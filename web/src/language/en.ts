import { account } from './en/account.ts';
import { admin } from './en/admin.ts';
import { advice } from './en/advice.ts';
import { billing } from './en/billing.ts';
import { browse } from './en/browse.ts';
import { category } from './en/category.ts';
import { channel } from './en/channel.ts';
import { chat } from './en/chat.ts';
import { count } from './en/count.ts';
import { enter } from './en/enter.ts';
import { home } from './en/home.ts';
import { missing } from './en/missing.ts';
import { moderation } from './en/moderation.ts';
import { notifications } from './en/notifications.ts';
import { problem } from './en/problem.ts';
import { settings } from './en/settings.ts';
import { studio } from './en/studio.ts';
import { ui } from './en/ui.ts';
import { watch } from './en/watch.ts';

/** Every text of the pages, in English: other languages have the same keys. A file of `en/` holds the keys that begin with its name. */
export const en = {
  ...account,
  ...admin,
  ...advice,
  ...billing,
  ...browse,
  ...category,
  ...channel,
  ...chat,
  ...count,
  ...enter,
  ...home,
  ...missing,
  ...moderation,
  ...notifications,
  ...problem,
  ...settings,
  ...studio,
  ...ui,
  ...watch,
} as const;
