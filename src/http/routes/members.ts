import { Router } from 'express';
import { z } from 'zod';
import type { MappingWarning, Reason } from '../../domain/membership.ts';
import { groupsForApp } from '../../domain/webhook-event.ts';
import type { Explanation, Member, MembershipStore } from '../../membership/store.ts';
import type { WhyNot } from '../../membership/why-not.ts';
import type { ExplainWhyNot } from '../../membership/why-not-store.ts';
import { sendTagged } from '../etag.ts';
import { idPageQuery, pageOf, parseQuery, pathId } from '../request-input.ts';
import type { FindWorkspace } from './workspace-scope.ts';

export interface MemberRouteDeps {
  readonly members: Pick<MembershipStore, 'list' | 'explain'>;
  readonly explainWhyNot: ExplainWhyNot;
  readonly findWorkspace: FindWorkspace;
}

/** Members of one workspace, mounted below it. */
export function createMemberRoutes({ members, explainWhyNot, findWorkspace }: MemberRouteDeps): Router {
  const router = Router({ mergeParams: true });

  router.get('/', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    const { limit, after } = parseQuery(memberListQuery, req);
    const rows = await members.list(workspaceId, { after: after ?? null, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ userId }) => userId, view: memberView }));
  });

  router.get('/:user_id', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    const { member } = await members.explain(workspaceId, pathId(req, 'user_id'));
    sendTagged(req, res, memberView(member));
  });

  // R37.
  router.get('/:user_id/explain', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    const { group } = parseQuery(explainQuery, req);
    const userId = pathId(req, 'user_id');
    const explanation = explanationView(await members.explain(workspaceId, userId));
    const asked = group === undefined ? {} : { why_not: whyNotView(await explainWhyNot(workspaceId, userId, group)) };
    res.json({ ...explanation, ...asked });
  });

  return router;
}

export const memberListQuery = z.strictObject(idPageQuery);
/** A role or app group by its exact name: why does the member not have it? */
export const explainQuery = z.strictObject({ group: z.string().min(1).max(1_024).optional() });

export function memberView(member: Member) {
  return {
    user: { id: member.userId, email: member.email, name: member.name, status: member.userStatus },
    role: member.role,
    groups: groupsForApp(member.groups),
    status: member.status,
    version: member.version,
    updated_at: member.updatedAt.toISOString(),
  };
}

export function explanationView({ member, reasons, warnings, login }: Explanation) {
  return {
    ...memberView(member),
    reasons: reasons.map(reasonView),
    warnings: warnings.map(warningView),
    login: {
      login_id: login.loginId,
      connection_id: login.connectionId,
      connection: login.connection,
      at: login.at.toISOString(),
    },
  };
}

export function reasonView({ grant, idpGroup, via }: Reason) {
  return {
    grant: grant.kind === 'role' ? grant : { kind: grant.kind, id: grant.groupId, name: grant.name },
    idp_group: idpGroup,
    via: viaView(via),
  };
}

function viaView(via: Reason['via']) {
  switch (via.kind) {
    case 'rule':
      return { kind: via.kind, rule_index: via.ruleIndex, from: via.from, match: via.match, to: via.to };
    case 'group-requires':
      return { kind: via.kind, group: { id: via.groupId, name: via.name }, requires_role: via.requiresRole };
    case 'one-to-one':
    case 'fallback':
    case 'kept':
      return via;
    default:
      return via satisfies never;
  }
}

export function warningView(warning: MappingWarning) {
  const { idpGroup, ...rest } = warning;
  return 'ruleIndex' in rest
    ? { kind: rest.kind, idp_group: idpGroup, target: rest.target, rule_index: rest.ruleIndex }
    : { ...rest, idp_group: idpGroup };
}

export function whyNotView({ asked, kind, held, causes }: WhyNot) {
  return {
    asked,
    kind,
    held,
    causes: causes.map(({ cause, message, idpGroup, name, difference, ruleIndex }) => ({
      cause,
      message,
      ...(idpGroup === undefined ? {} : { idp_group: idpGroup }),
      ...(name === undefined ? {} : { name }),
      ...(difference === undefined ? {} : { difference }),
      ...(ruleIndex === undefined ? {} : { rule_index: ruleIndex }),
    })),
  };
}
