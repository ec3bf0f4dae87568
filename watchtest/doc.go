// SPDX-License-Identifier: Apache-2.0

// Package watchtest is an in-memory API server for pods with faults on demand. Use it to
// test code that watches pods with this library or with client-go.
//
// # Why
//
// client-go's fake clientset gives its pods no resource versions. Its watches cannot be
// resumed, send no bookmarks and ignore selectors, and its connections never break. So it
// cannot show the faults that a watch meets in production. With a [Server], the code
// under test uses a real clientset, which sends real requests and decodes real bytes.
//
// # Usage
//
// Make a server and give its [Server.Client] to the code under test. Act as the
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
// The clientset can also create, read, update, patch and delete pods. [Server.List]
// returns the pods that a LIST would return now. [Server.Requests] and [Server.Count]
// return the requests that the server has received.
//
// # Kubelet
//
// By default a pod stays as the test or the clientset has written it. After
// [Server.StartKubelet] a simulated scheduler and kubelet bind each pod to a node, pull its
// image, run it, and remove it once it is deleted. A [Lifecycle] says what else happens to a
// pod: how long it runs, with which exit code it ends, whether its image can be pulled, and
// whether it is evicted or deleted by another client. It comes from the annotations of the
// pod, or from a function of the test if the code under test does not write them:
//
//	stop := srv.StartKubelet(func(pod *corev1.Pod) watchtest.Lifecycle {
//		if pod.Labels["spark-exec-id"] == "2" {
//			return watchtest.Lifecycle{RunFor: time.Minute, ExitCode: 137}
//		}
//		return watchtest.LifecycleOf(pod)
//	})
//	defer stop()
//
// # Time
//
// A server has no sockets and no goroutines, and waits only on channels and timers of the
// package time. So it works in a bubble of [testing/synctest], where half an hour takes a
// millisecond and timing is deterministic:
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
// Use a server in one bubble only. Its streams have timers, so synctest reports a deadlock
// only after the streams have ended, after at most 45 minutes of the bubble's time.
//
// client-go's default error handler, which informers use for a failed LIST, allows one
// error a millisecond, counted from the previous one. If that one happened outside the
// bubble, whose clock starts in 2000, the handler sleeps for decades of fake time. A test
// binary with informers in bubbles should remove the handler in TestMain:
//
//	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1] // only log
//
// # Faults
//
// [Server.Inject] makes future requests fail. A [Fault] says which requests, how often,
// and with which [Effect]. [Server.Strike] applies an effect to the streams that are open
// now, and [Stream.Strike] to one of them.
//
//	// Three refused connections, then a server that is still starting.
//	srv.Inject(watchtest.Fault{Times: 3, Do: watchtest.Refuse()})
//	srv.Inject(watchtest.Fault{Times: 1, Do: watchtest.Answer(apierrors.NewServiceUnavailable("starting"))})
//
//	// The server cannot be reached for five minutes. The fault comes before the strike,
//	// or a client may reconnect in between.
//	lift := srv.Inject(watchtest.Fault{Do: watchtest.Refuse()})
//	srv.Strike(watchtest.Reset())
//	time.Sleep(5 * time.Minute)
//	lift()
//
//	// A streaming list that breaks off in its third initial event.
//	srv.Inject(watchtest.Fault{On: watchtest.StreamingList, After: 2, Times: 1, Do: watchtest.Tear()})
//
//	// No permission to LIST or WATCH, for a while.
//	lift = srv.Inject(watchtest.Fault{
//		On: watchtest.List | watchtest.Watch | watchtest.StreamingList,
//		Do: watchtest.Answer(apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no role"))),
//	})
//	lift()
//
//	// The history is gone: the next resume is answered with 410. Without the delay the
//	// client may resume before the deletion.
//	srv.Inject(watchtest.Fault{On: watchtest.Watch, Times: 1, Do: watchtest.Delay(time.Second)})
//	srv.Strike(watchtest.Cut())
//	srv.Delete("default", "exec-1")
//	srv.Compact()
//
//	// A proxy that cuts streams that send nothing for three seconds.
//	srv.Inject(watchtest.Fault{On: watchtest.Watch, Do: watchtest.Idle(3*time.Second, watchtest.Cut())})
//
//	// etcd is restored from a backup, and its versions are used again.
//	restore := srv.Backup()
//	srv.Create(pod)
//	restore()
//
// The effects, from the outside in:
//
//   - no answer: [Refuse], [Reset], [Break], [Hang], [Delay], and [HoldHeaders] until the first
//     byte;
//   - the wrong answer: [Answer];
//   - an answer that ends early: [Cut], [Tear], and also [Reset] and [Break], at once or,
//     with [Idle], when the stream has sent nothing for a time, or with [Limit] at an age;
//   - an answer that does not end: [Silence], [Slow];
//   - the wrong bytes in it: [SendRaw], [Malform];
//   - the wrong events in it: [SendError], [Lose], [OmitInitialEventsEnd],
//     [OmitBookmarks].
//
// [Server.LoseStore] makes the server lose its etcd, and [Server.Backup] restores an older state.
//
// # Same as a real server
//
//  1. There is one resource version for all pods, and each write raises it. A pod has the
//     version of its last change, and its DELETED event has the version of the deletion.
//     The version of the first write is 99991, so versions soon have one digit more.
//  2. LIST and WATCH support label selectors, and field selectors of the fields that pods
//     have. If a pod leaves a selection, its watchers receive DELETED with the previous
//     state. If a pod enters, they receive ADDED. They ignore the parameter shardSelector, as a
//     server does whose feature gate ShardedListAndWatch is off, without [WithShardSelector].
//  3. LIST supports resourceVersion, resourceVersionMatch, limit and continue. All pages
//     have the version of the first. After [Server.Compact] the server answers the next page
//     with 410 and a token to continue with inconsistent pages. It answers a future version
//     with 504 and the cause ResourceVersionTooLarge.
//  4. WATCH resumes after any version that is not compacted. Otherwise it sends 410 in its
//     first event, or at once: [WithExpiredAtConnect]. Without a version, or from "0", it
//     begins with the current state of all pods.
//  5. Streaming lists (sendInitialEvents=true) end the initial events with an annotated
//     bookmark. [WithoutStreamingLists] simulates older servers.
//  6. Bookmarks come each minute and two seconds before the timeout of a stream. The
//     stream ends normally after timeoutSeconds.
//  7. Deletion has a grace period. A pod on a node that has not ended stays, with a
//     deletionTimestamp, until the test deletes it with a grace period of 0, as a kubelet
//     would. A pod with finalizers stays until it has none. [Server.Delete] ignores both.
//  8. If a client creates a pod, its phase is Pending. An update ignores the status, and
//     an update of the status ignores the rest. An update from an old version is a
//     conflict. An update that changes nothing is not a write.
//  9. The server supports protobuf and JSON, and uses the first of these in the Accept
//     header. It answers GET, LIST and WATCH with the metadata only if the header asks for
//     PartialObjectMetadata or PartialObjectMetadataList (meta.k8s.io, v1). It omits
//     managedFields if the header asks for that and [WithManagedFieldsOptOut] is set. Errors
//     are a metav1.Status with the code, reason and details of a real server.
//
// # Different from a real server
//
// Pods are the only resource, and status is the only subresource. Clients are not
// authenticated. Pods are not validated and get no defaults, except a grace period of 30
// seconds. Namespaces need not exist. There is no dry run, JSON patch, server-side apply,
// table output, or compression. There are no controllers. The kubelet never
// restarts a container, and ends all containers of a pod at the same time.
// A request for a future version is refused at once, and a real server would wait for
// three seconds. Test everything else against a real server.
package watchtest
