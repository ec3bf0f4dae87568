// SPDX-License-Identifier: Apache-2.0

// Package watchtest is an API server for pods, in memory, with faults on
// demand. It is for tests of code that watches pods: this library's own, and
// those of schedulers that use it or client-go.
//
// # Why
//
// client-go's fake clientset has no resource versions. So its watches cannot be
// resumed, expire or send bookmarks; they ignore selectors, and no connection
// ever breaks. What goes wrong with a watch in production cannot happen there.
// A [Server] is the other end of the wire: code under test has a real
// clientset, which sends real requests and decodes real bytes.
//
// # Usage
//
// Make a server, give its [Server.Client] to the code under test, and be the
// scheduler, the kubelet and the user with [Server.Create], [Server.Update] and
// [Server.Delete]:
//
//	srv := watchtest.NewServer()
//	srv.Create(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "exec-1"}})
//	go scheduler.Run(ctx, srv.Client())
//	srv.Update("default", "exec-1", func(pod *corev1.Pod) {
//		pod.Status.Phase = corev1.PodRunning
//	})
//
// The clientset can create, read, update, patch and delete pods as well. To see
// what came of it, compare with [Server.List], which is what a LIST would
// return now, and look at what was asked with [Server.Requests] and
// [Server.Count].
//
// # Time
//
// A server has no sockets and no goroutines, and waits in channels and timers
// of the package time alone. So it works in a bubble of [testing/synctest],
// where half an hour costs a millisecond and nothing is left to chance:
//
//	synctest.Test(t, func(t *testing.T) {
//		srv := watchtest.NewServer()
//		s := start(t, srv.Client())
//		srv.Strike(watchtest.Silence())     // a connection dies unnoticed
//		srv.Delete("default", "exec-1")
//		time.Sleep(5 * time.Minute)         // of the bubble
//		synctest.Wait()
//		if s.Alive("exec-1") { ... }
//	})
//
// Use a server from one bubble only. Its streams have timers, so what is
// blocked forever is not found out before they end, after 45 minutes at most.
//
// One part of client-go does not work in a bubble: after each error that it
// handles on its own, as informers do with a failed LIST, it rests for a
// millisecond since the last one, and if that was outside the bubble, where the
// year is not 2000, for decades. A test binary that has informers in bubbles
// should take that away, in TestMain:
//
//	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1] // log, do not rest
//
// # Faults
//
// [Server.Inject] makes coming requests fail: a [Fault] says which requests,
// how often, and what happens to them, an [Effect]. [Server.Strike] lets an
// effect happen to the streams that are open now, and [Stream.Strike] to one
// of them.
//
//	// Three refused connections, then a server that is still starting.
//	srv.Inject(watchtest.Fault{Times: 3, Do: watchtest.Refuse()})
//	srv.Inject(watchtest.Fault{Times: 1, Do: watchtest.Answer(apierrors.NewServiceUnavailable("starting"))})
//
//	// A streaming list that breaks off in its third initial event.
//	srv.Inject(watchtest.Fault{On: watchtest.StreamingList, After: 2, Times: 1, Do: watchtest.Tear()})
//
//	// No permission to LIST or WATCH, for a while.
//	lift := srv.Inject(watchtest.Fault{
//		On: watchtest.List | watchtest.Watch | watchtest.StreamingList,
//		Do: watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role"))),
//	})
//	lift()
//
//	// The history is gone: the next resume is answered with 410.
//	srv.Strike(watchtest.Cut())
//	srv.Delete("default", "exec-1")
//	srv.Compact()
//
//	// A proxy that cuts streams in which nothing happens for three seconds.
//	srv.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Idle(3*time.Second, watchtest.Cut())})
//
//	// etcd is restored from a backup: the versions begin again from there.
//	restore := srv.Backup()
//	srv.Create(pod)
//	restore()
//
// The effects, from the outside in:
//
//   - no answer: [Refuse], [Reset], [Break], [Hang], [Delay];
//   - the wrong answer: [Answer];
//   - an answer that ends early: [Cut], [Tear], and [Reset] and [Break] again,
//     at once or when nothing was sent for a time: [Idle];
//   - an answer that does not come to an end: [Silence], [Slow];
//   - the wrong bytes in it: [SendRaw], [Malform];
//   - the wrong events in it: [SendError], [OmitInitialEventsEnd],
//     [OmitBookmarks].
//
// # What it does as a real server does
//
//  1. There is one resource version for all pods, which each write raises. A
//     pod bears that of its last change, and its DELETED event that of the
//     deletion. The first write is 99991, soon followed by longer ones.
//  2. LIST and WATCH take label selectors, and field selectors of the fields
//     that pods have. A pod that leaves a selection is DELETED for its watchers,
//     as it was before; one that enters is ADDED.
//  3. LIST knows resourceVersion, resourceVersionMatch, limit and continue.
//     All pages are of the version of the first; after [Server.Compact] the
//     next one is answered with 410 and a token to go on regardless. A version
//     to come is answered with 504 and the cause ResourceVersionTooLarge.
//  4. WATCH resumes after any version that is not compacted, and otherwise says
//     410 in its first event, or at once: [WithExpiredAtConnect]. Without a
//     version, or from "0", it begins with all pods as they are.
//  5. Streaming lists, that is sendInitialEvents=true, end the initial events
//     with an annotated bookmark; servers before them are [WithoutStreamingLists].
//  6. Bookmarks come each minute and two seconds before the timeout of a stream.
//     It ends in good order after timeoutSeconds.
//  7. Deletion has grace: a pod on a node that has not ended stays, with a
//     deletionTimestamp, until it is deleted with a grace of 0, as its kubelet
//     does; that is for the test to do. A pod with finalizers stays until it has
//     none. [Server.Delete] does away with both.
//  8. A client's create makes the pod Pending whatever it sends, its update
//     leaves the status alone, its update of the status the rest; an update from
//     an old version is a conflict, and one that changes nothing no write.
//  9. It speaks protobuf and JSON, whatever the Accept header asks for first.
//     Errors are a metav1.Status with the code, reason and details of the real
//     ones.
//
// # What it does not
//
// There are no resources but pods, and no subresources but status. Nobody is
// authenticated; pods are neither validated nor given defaults, but for the
// grace of 30 seconds; namespaces need not exist. There is no dry run, no
// JSON patch or server-side apply, no table or metadata-only output and no
// compression. No controller or kubelet does anything on its own. A request
// for a version to come is refused at once, where a real server waits for three
// seconds. For the rest, test against a real one.
package watchtest
