/* SPDX-License-Identifier: MIT */
/*
 * The switch on aarch64, AAPCS64.
 *
 * A stack that was left looks like this, from its saved stack pointer upwards:
 *
 *      sp -> x19 .. x28  x29 (frame)  x30 (where to go on)  d8 .. d15
 *
 * Invariants
 *   1. Both sides of a switch have this one layout, so what the CFI says about the
 *      stack is as true after the change of sp as before it: a debugger walks the
 *      running task and, from (sp, cp_ctx_resume_pc), any parked one.
 *   2. cp_ctx_start is the outermost frame: its return address is declared undefined
 *      and x29 is 0 in it, which ends both kinds of walk.
 *   3. x18 belongs to the platform and is not touched. A shadow call stack lives
 *      there, and would have to be switched: refused below.
 *
 * Of d8 to d15 only the low halves are the callee's to save. Leaving by ret: a
 * plain br to a return site is no landing pad under branch target identification. Every
 * switch returns 0, so that a call whose last act it is can jump to it.
 */
#if defined(__has_feature)
#if __has_feature(shadow_call_stack)
#error "coop does not switch shadow call stacks: build without -fsanitize=shadow-call-stack"
#endif
#endif

#define FRAME 160

	.text

	.globl	cp_ctx_switch_asm
	.hidden	cp_ctx_switch_asm
	.type	cp_ctx_switch_asm, %function
	.p2align 5
/* int cp_ctx_switch_asm(void **save_sp, void *to_sp) */
cp_ctx_switch_asm:
	.cfi_startproc
	hint	#34 /* bti c */
	sub	sp, sp, #FRAME
	.cfi_adjust_cfa_offset FRAME
	stp	x19, x20, [sp, #0]
	stp	x21, x22, [sp, #16]
	stp	x23, x24, [sp, #32]
	stp	x25, x26, [sp, #48]
	stp	x27, x28, [sp, #64]
	stp	x29, x30, [sp, #80]
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
	.cfi_rel_offset x19, 0
	.cfi_rel_offset x20, 8
	.cfi_rel_offset x21, 16
	.cfi_rel_offset x22, 24
	.cfi_rel_offset x23, 32
	.cfi_rel_offset x24, 40
	.cfi_rel_offset x25, 48
	.cfi_rel_offset x26, 56
	.cfi_rel_offset x27, 64
	.cfi_rel_offset x28, 72
	.cfi_rel_offset x29, 80
	.cfi_rel_offset x30, 88
	.cfi_rel_offset b8, 96
	.cfi_rel_offset b9, 104
	.cfi_rel_offset b10, 112
	.cfi_rel_offset b11, 120
	.cfi_rel_offset b12, 128
	.cfi_rel_offset b13, 136
	.cfi_rel_offset b14, 144
	.cfi_rel_offset b15, 152

	mov	x9, sp
	str	x9, [x0]
	mov	sp, x1
.Lresume:
	ldp	x19, x20, [sp, #0]
	ldp	x21, x22, [sp, #16]
	ldp	x23, x24, [sp, #32]
	ldp	x25, x26, [sp, #48]
	ldp	x27, x28, [sp, #64]
	ldp	x29, x30, [sp, #80]
	ldp	d8, d9, [sp, #96]
	ldp	d10, d11, [sp, #112]
	ldp	d12, d13, [sp, #128]
	ldp	d14, d15, [sp, #144]
	add	sp, sp, #FRAME
	.cfi_adjust_cfa_offset -FRAME
	.cfi_restore x19
	.cfi_restore x20
	.cfi_restore x21
	.cfi_restore x22
	.cfi_restore x23
	.cfi_restore x24
	.cfi_restore x25
	.cfi_restore x26
	.cfi_restore x27
	.cfi_restore x28
	.cfi_restore x29
	.cfi_restore x30
	.cfi_restore b8
	.cfi_restore b9
	.cfi_restore b10
	.cfi_restore b11
	.cfi_restore b12
	.cfi_restore b13
	.cfi_restore b14
	.cfi_restore b15
	mov	w0, #0
	ret
	.cfi_endproc
	.size	cp_ctx_switch_asm, . - cp_ctx_switch_asm

	.globl	cp_ctx_start
	.hidden	cp_ctx_start
	.type	cp_ctx_start, %function
	.p2align 4
/* The first switch to a new stack comes here: x19 is the entry, x20 its argument, x29 0. */
cp_ctx_start:
	.cfi_startproc
	.cfi_undefined x30
	hint	#34 /* bti c */
	mov	x0, x20
	blr	x19
	brk	#1
	.cfi_endproc
	.size	cp_ctx_start, . - cp_ctx_start

/* Where a parked stack goes on. */
	.section .data.rel.ro, "aw", %progbits
	.globl	cp_ctx_resume_pc
	.hidden	cp_ctx_resume_pc
	.type	cp_ctx_resume_pc, %object
	.p2align 3
cp_ctx_resume_pc:
	.quad	.Lresume
	.size	cp_ctx_resume_pc, 8

/* GNU_PROPERTY_AARCH64_FEATURE_1_AND: bit 0, branch target identification. */
	.section .note.gnu.property, "a", %note
	.p2align 3
	.long	4, 16, 5
	.asciz	"GNU"
	.long	0xc0000000, 4, 1, 0

	.section .note.GNU-stack, "", %progbits
