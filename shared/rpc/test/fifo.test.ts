import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fifo } from '../src/protocol/fifo.js';

test('a queue is what an array with push and shift is', () => {
  const step = fc.oneof(
    fc.record({ push: fc.integer() }),
    fc.constant('shift' as const),
    fc.constant('clear' as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const queue = new Fifo<number>();
      let model: number[] = [];
      for (const action of steps) {
        if (action === 'shift') expect(queue.shift()).toBe(model.shift());
        else if (action === 'clear') {
          queue.clear();
          model = [];
        } else {
          queue.push(action.push);
          model.push(action.push);
        }
        expect(queue.length).toBe(model.length);
        expect(queue.peek()).toBe(model[0]);
      }
    }),
  );
});
