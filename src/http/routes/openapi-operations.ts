import { z } from 'zod';
import { declareOperations } from '../api-schema.ts';

export const documentOperations = declareOperations('This document', [
  {
    method: 'get',
    path: '/openapi.json',
    summary: 'Read this document',
    scope: 'public',
    answers: { 200: z.looseObject({ openapi: z.string(), paths: z.looseObject({}) }) },
  },
  {
    method: 'get',
    path: '/docs',
    summary: 'Browse this document',
    scope: 'public',
    mediaType: 'text/html',
    answers: { 200: z.string() },
  },
  {
    method: 'get',
    path: '/docs/assets/{file}',
    summary: 'Parts of the page',
    scope: 'public',
    params: { file: z.string() },
    mediaType: '*/*',
    answers: { 200: z.string() },
  },
]);
