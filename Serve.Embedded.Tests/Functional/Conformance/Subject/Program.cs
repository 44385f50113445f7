using Serve.Embedded;
using Serve.Embedded.Tests.Functional.Conformance.Subject;

return await ServeCli.RunAsync(args, SubjectApplications.Register());
